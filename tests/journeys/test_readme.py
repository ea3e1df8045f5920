"""``make demo``: the README's ten minutes as somebody would paste them, then Ctrl-C, then again."""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
import pytest_asyncio

from counterfoil.core.assets import CHAINS, accepted_asset
from counterfoil.core.money import parse_units
from counterfoil.sandbox.anvil import AnvilNode
from counterfoil.sandbox.customer import Customer
from counterfoil.sandbox.places import DemoFacts, Places, passing_places
from counterfoil.sandbox.samples import Api, example
from support.journey import PATIENCE_SECONDS, Ran, ran
from support.sources import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECTION: Final = "## Ten minutes to a paid invoice"

PROGRAMS: Final = Path(sys.executable).parent


@dataclass(frozen=True)
class FirstRun:
    """A demo that is over: what the README's lines printed, and what was left in the middle."""

    places: Places
    facts: DemoFacts
    pasted: Ran
    paid_last: str
    invoices: int
    heights: dict[str, int]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def first() -> AsyncIterator[FirstRun]:
    if shutil.which("curl") is None:
        pytest.skip("this machine has no curl, which the README's lines call")
    with passing_places() as places:
        async with demo_up(places) as facts:
            pasted = await paste(places)
            paid_last = await paid_just_before_the_end(facts)
            async with Api(facts, "auditor") as auditor:
                invoices = await auditor.count()
            heights = await heights_of(facts)
        yield FirstRun(places, facts, pasted, paid_last, invoices, heights)


async def test_the_readmes_lines_take_an_invoice_from_creation_to_completed_and_prove_it(
    first: FirstRun,
) -> None:
    printed = first.pasted.text
    assert first.pasted.status == 0, printed
    for sight in ("transaction_detected", "sign_pending", "sweep_processing", "completed"):
        assert sight in printed, printed
    assert "every seal holds" in printed, printed
    assert "every unit is explained" in printed, printed
    told = received(printed)
    assert {c["body"]["id"] for c in told} == {invoice_of(printed)}
    assert [c["body"]["status"] for c in told] == ["success", "pending"]
    assert all(c["verified"] for c in told)


async def test_a_second_demo_goes_on_where_the_first_one_stopped_until_a_reset_clears_it(
    first: FirstRun,
) -> None:
    async with demo_up(first.places) as again:
        assert again.members == first.facts.members
        assert again.payer == first.facts.payer
        heights = await heights_of(again)
        assert all(heights[key] >= height for key, height in first.heights.items())
        async with Api(again, "signer") as signer:
            assert await signer.count() == first.invoices
            assert (await signer.invoice(invoice_of(first.pasted.text)))["status"] == "completed"
            await until(signer, first.paid_last, "sign_pending")
            await signer.act(first.paid_last, "sign")
            await until(signer, first.paid_last, "completed")
        for proof in (["audit", "verify"], ["reconcile"]):
            proven = await counterfoil(first.places, again, *proof)
            assert proven.status == 0, proven.text
    (first.places.var / "something-of-yours.txt").touch()
    assert (await counterfoil(first.places, again, "demo", "reset")).status == 0
    left = {path.name for path in first.places.var.rglob("*") if path.is_file()}
    assert left - {"demo.lock"} == {"something-of-yours.txt"}


@asynccontextmanager
async def demo_up(places: Places) -> AsyncIterator[DemoFacts]:
    """Run ``counterfoil demo up`` until the block ends, and then press Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        *(PROGRAMS / "counterfoil", "demo", "up", "--days", "0"),
        env={**os.environ, "COUNTERFOIL_VAR_DIR": str(places.var)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    printed = ""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "Ctrl-C stops everything" not in printed:
                line = await process.stdout.readline()
                assert line, f"it ended: {printed}"
                printed += line.decode()
        facts = places.read()
        assert facts is not None
        yield facts
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        rest, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 0, printed + rest.decode()
    assert len(children) >= len(("postgres", "sign", "work", "serve", *CHAINS))
    assert [child for child in children if child.is_running()] == []


async def paste(places: Places) -> Ran:
    """Paste the section's second block, which is for the second terminal."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split(SECTION, 1)[1].split("\n## ", 1)[0]
    start, lines = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert start == "make demo\n"
    script = lines.replace(".venv/bin/", f"{PROGRAMS}/") + '\necho "this was $INVOICE"\n'
    command = ["bash", "-euo", "pipefail", "-c", script]
    return await ran(command, {"COUNTERFOIL_VAR_DIR": str(places.var)})


def invoice_of(printed: str) -> str:
    (invoice_id,) = re.findall(r"this was (inv_[0-9a-f]{32})", printed)
    return str(invoice_id)


def received(printed: str) -> list[dict[str, Any]]:
    """The inbox as it was shown: one JSON array among the other lines."""
    shown = re.search(r'\[\s*\{\s*"verified"', printed)
    assert shown is not None, printed
    found: list[dict[str, Any]] = json.JSONDecoder().raw_decode(printed, shown.start())[0]
    return found


async def paid_just_before_the_end(facts: DemoFacts) -> str:
    """An invoice whose payment is in a block, and about which nothing else is known yet."""
    async with Api(facts, "finance") as finance, Api(facts, "reviewer") as reviewer:
        invoice = await finance.create(**example(facts, chain="base", pay_token="USDC"))
        await reviewer.act(invoice["id"], "approve")
    token = accepted_asset(CHAINS["base"], "USDC")
    assert token is not None
    (option,) = invoice["payment_options"]
    node = AnvilNode(facts.chains["base"].rpc_url)
    units = parse_units(option["amount"], token.decimals, "amount")
    await Customer.known().pay(node, token, option["address"], units)
    await node.close()
    return str(invoice["id"])


async def until(api: Api, invoice_id: str, status: str) -> None:
    """Wait for a status, and for everything that was paid to be final."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            invoice = await api.invoice(invoice_id)
            depths = {transfer["depth"] for transfer in invoice["transfers"]}
            if invoice["status"] == status and depths == {"final"}:
                return
            await asyncio.sleep(0.1)


async def counterfoil(places: Places, facts: DemoFacts, *arguments: str) -> Ran:
    endpoints = {f"COUNTERFOIL_RPC_{k.upper()}": c.rpc_url for k, c in facts.chains.items()}
    environment = {"COUNTERFOIL_VAR_DIR": str(places.var), **endpoints}
    return await ran([str(PROGRAMS / "counterfoil"), *arguments], environment)


async def heights_of(facts: DemoFacts) -> dict[str, int]:
    heights = {}
    for key, chain in facts.chains.items():
        node = AnvilNode(chain.rpc_url)
        heights[key] = await node.height()
        await node.close()
    return heights
