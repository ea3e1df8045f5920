"""`Provider`: an RPC provider between us and a real node, in its good and bad hours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from counterfoil.chains.evm.abi import keccak256
from support.served import served

Json = dict[str, Any]
Change = Callable[[Json, Json], Json]


class Provider:
    """Forwards to a node; a test says what goes wrong on the way.

    ``respond`` replaces a whole HTTP answer; ``change`` gets each call with its answer and
    returns what to send instead. ``asked`` lists the methods of every call that came in.
    """

    secret_path = "/v2/secret-key"

    def __init__(self, session: aiohttp.ClientSession, node_url: str | Callable[[], str]) -> None:
        """``node_url`` is asked for at every call where it may not be known before."""
        self._session = session
        self._node_url = node_url
        self.port = 0
        self.asked: list[str] = []
        self.respond: Callable[[bytes], Awaitable[web.StreamResponse]] | None = None
        self.change: Change = lambda _call, answer: answer
        self.swallows = False
        """It takes signed bytes, and passes them on to nobody."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.secret_path}"

    def fail_with(self, status: int = 200, body: bytes = b"") -> None:
        """Answer everything with this status and body."""

        async def respond(_good: bytes) -> web.Response:
            return web.Response(status=status, body=body, content_type="application/json")

        self.respond = respond

    def cut_off(self, after_bytes: int) -> None:
        """Send only the beginning of each good answer, as a complete response."""

        async def respond(good: bytes) -> web.Response:
            return web.Response(body=good[:after_bytes], content_type="application/json")

        self.respond = respond

    def hang(self) -> None:
        """Accept the question and never answer."""

        async def respond(_good: bytes) -> web.Response:
            await asyncio.Event().wait()
            raise AssertionError

        self.respond = respond

    def refuse(self, method: str, message: str, code: int = -32000) -> None:
        """Answer one method with a JSON-RPC error."""

        def change(call: Json, answer: Json) -> Json:
            if call["method"] != method:
                return answer
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}

        self.change = change

    def answer(self, method: str, result: object) -> None:
        """Answer one method with this result, whatever the node would say."""

        def change(call: Json, answer: Json) -> Json:
            return {**answer, "result": result} if call["method"] == method else answer

        self.change = change

    def lag_behind(self, block: int) -> None:
        """Know nothing above ``block``: no header, and no logs either, without an error."""

        def change(call: Json, answer: Json) -> Json:
            if call["method"] == "eth_getLogs":
                logs = [log for log in answer["result"] if int(log["blockNumber"], 16) <= block]
                return {**answer, "result": logs}
            if call["method"] == "eth_getBlockByNumber":
                header = answer["result"]
                if header and int(header["number"], 16) > block:
                    return {**answer, "result": None}
            return answer

        self.change = change

    def recover(self) -> None:
        self.respond = None
        self.swallows = False
        self.change = lambda _call, answer: answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        calls = msgspec.json.decode(await request.read())
        batch = calls if isinstance(calls, list) else [calls]
        self.asked += [call["method"] for call in batch]
        if self.swallows and batch[0]["method"] == "eth_sendRawTransaction":
            tx_hash = "0x" + keccak256(bytes.fromhex(batch[0]["params"][0][2:])).hex()
            return web.json_response({"jsonrpc": "2.0", "id": batch[0]["id"], "result": tx_hash})
        node_url = self._node_url if isinstance(self._node_url, str) else self._node_url()
        async with self._session.post(node_url, json=calls) as response:
            answers = await response.json()
        if isinstance(answers, list):
            by_id = {answer["id"]: answer for answer in answers}
            # Reversed: the order of a batch's answers is free (JSON-RPC 2.0, section 6).
            answers = [self.change(call, by_id[call["id"]]) for call in reversed(batch)]
        else:
            answers = self.change(calls, answers)
        good = msgspec.json.encode(answers)
        if self.respond is not None:
            return await self.respond(good)
        return web.Response(body=good, content_type="application/json")


def in_logs(change: Callable[[list[Json]], list[Json]]) -> Callable[[Provider], None]:
    """A fault in the lists of logs, and nowhere else."""

    def break_it(provider: Provider) -> None:
        def changed(call: Json, answer: Json) -> Json:
            if call["method"] != "eth_getLogs" or "result" not in answer:
                return answer
            return {**answer, "result": change(answer["result"])}

        provider.change = changed

    return break_it


def another_chain(provider: Provider) -> None:
    """Every header and log is of other blocks, though the heights are alike."""

    def changed(call: Json, answer: Json) -> Json:
        _ = call
        return {**answer, "result": _foreign(answer.get("result"))}

    provider.change = changed


def another_chain_that_pays(topic: str) -> Callable[[Provider], None]:
    """As `another_chain`; whatever is paid here, somebody else pays there, and to one address.

    ``topic`` is that address as it stands in logs.
    """

    def elsewhere(log: Json) -> Json:
        tx_hash = "0xba" + log["transactionHash"][4:]
        return {**log, "transactionHash": tx_hash, "topics": [*log["topics"][:2], topic]}

    def break_it(provider: Provider) -> None:
        another_chain(provider)
        foreign = provider.change

        def changed(call: Json, answer: Json) -> Json:
            told = foreign(call, answer)
            if call["method"] != "eth_getLogs" or "error" in told:
                return told
            return {**told, "result": [elsewhere(log) for log in told["result"]]}

        provider.change = changed

    return break_it


def _foreign(value: object) -> object:
    if isinstance(value, list):
        return [_foreign(one) for one in value]
    if not isinstance(value, dict):
        return value
    hashes = ("hash", "parentHash", "blockHash")
    return {k: "0x" + "ba" + str(v)[4:] if k in hashes else v for k, v in value.items()}


@asynccontextmanager
async def provider(node_url: str | Callable[[], str]) -> AsyncIterator[Provider]:
    """Run a provider in front of a node."""
    app = web.Application()
    async with aiohttp.ClientSession() as session:
        running = Provider(session, node_url)
        app.router.add_post(running.secret_path, running.handle)
        async with served(app) as running.port:
            yield running
