"""``make demo``, stopped and started again, and cleared at last: through the command line alone."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psutil
import pytest

from counterfoil.sandbox.anvil import AnvilNode
from counterfoil.sandbox.places import DemoFacts, Places
from counterfoil.sandbox.samples import Api, example
from support.journey import PATIENCE_SECONDS, Ran, folder, ran

pytestmark = pytest.mark.asyncio(loop_scope="session")

SAMPLES: Final = 4


async def test_a_second_demo_goes_on_where_the_first_one_was_and_a_reset_clears_it() -> None:
    with folder() as places:
        async with demo_up(places) as facts:
            invoice_id = await paid_invoice(places, facts)
            heights = await heights_of(facts)
        async with demo_up(places) as again:
            assert again.members == facts.members
            assert again.payer == facts.payer
            assert all(now >= heights[key] for key, now in (await heights_of(again)).items())
            await signed_and_completed(places, again, invoice_id)
            assert (await demo(places, again, "audit", "verify")).status == 0
            compared = await demo(places, again, "reconcile")
            assert compared.status == 0, compared.text
        assert (await demo(places, again, "demo", "reset")).status == 0
        assert [path for path in places.var.rglob("*") if path.is_file()] == []


@asynccontextmanager
async def demo_up(places: Places) -> AsyncIterator[DemoFacts]:
    """Run ``counterfoil demo up`` until the block ends, and then press Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "counterfoil", "demo", "up"),
        env={**os.environ, "COUNTERFOIL_VAR_DIR": str(places.var)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            printed = ""
            while "Counterfoil is up" not in printed:
                line = await process.stdout.readline()
                assert line, f"it ended: {printed}"
                printed += line.decode()
        facts = places.read()
        assert facts is not None
        yield facts
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        text, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 0, text.decode()
    assert len(children) >= len(("postgres", "sign", "work", "serve", *facts.chains))
    assert [child for child in children if child.is_running()] == []


async def demo(places: Places, facts: DemoFacts, *arguments: str) -> Ran:
    endpoints = {f"COUNTERFOIL_RPC_{k.upper()}": c.rpc_url for k, c in facts.chains.items()}
    return await ran(
        [sys.executable, "-m", "counterfoil", *arguments],
        {"COUNTERFOIL_VAR_DIR": str(places.var), **endpoints},
    )


async def paid_invoice(places: Places, facts: DemoFacts) -> str:
    async with Api(facts, "finance") as finance, Api(facts, "reviewer") as reviewer:
        assert await finance.count() == SAMPLES
        invoice_id: str = (await finance.create(**example(facts)))["id"]
        await reviewer.act(invoice_id, "approve")
    paid = await demo(places, facts, "demo", "pay", invoice_id)
    assert paid.status == 0, paid.text
    assert "sign_pending" in paid.text
    return invoice_id


async def signed_and_completed(places: Places, facts: DemoFacts, invoice_id: str) -> None:
    async with Api(facts, "signer") as signer:
        assert await signer.count() == SAMPLES + 1
        await signer.act(invoice_id, "sign")
    watched = await demo(places, facts, "demo", "watch", invoice_id)
    assert "completed" in watched.text, watched.text


async def heights_of(facts: DemoFacts) -> dict[str, int]:
    heights = {}
    for key, chain in facts.chains.items():
        node = AnvilNode(chain.rpc_url)
        heights[key] = await node.height()
        await node.close()
    return heights
