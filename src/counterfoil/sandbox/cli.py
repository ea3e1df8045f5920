"""``counterfoil demo``: bring the sandbox up, pay in it, clear it."""

import asyncio
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from counterfoil.core.assets import accepted_asset, find_chain
from counterfoil.core.errors import Invalid, NotFound, OutOfPlace
from counterfoil.core.money import format_units, parse_units
from counterfoil.log import configure as configure_log
from counterfoil.sandbox import samples
from counterfoil.sandbox.anvil import AnvilNode
from counterfoil.sandbox.people import NEIGHBOUR_NAME
from counterfoil.sandbox.places import DemoFacts, Places
from counterfoil.supervisor import run_until, until_signalled

_LENGTH_DAYS: Final = 150
"""Five months, in which about two hundred invoices go every way there is."""

demo_cli: Final = typer.Typer(
    no_args_is_help=True, help="The sandbox: local chains, a merchant, and a paying customer."
)

_out: Final = Console()

_PAYABLE: Final = frozenset({"pending_payment", "payment_insufficient", "expired"})
_SETTLED: Final = frozenset(
    {
        "approval_pending",
        "approval_rejected",
        "sign_pending",
        "completed",
        "compliance_freeze",
        "payment_insufficient",
        "refunded",
        "cancelled",
    }
)
_MEANING: Final = {
    "approval_pending": "waits for a reviewer",
    "approval_rejected": "the reviewer said no",
    "expired": "the deadline passed unpaid",
    "pending_payment": "waiting for the payment",
    "transaction_detected": "seen on chain, still too young to rely on",
    "aml_scanning": "confirmed; its origin is being checked",
    "sign_pending": "clean; waits for the merchant's signature",
    "compliance_freeze": "held: two compliance officers have to decide",
    "sweep_processing": "signed for; on its way into the merchant's pool",
    "payout_processing": "in the pool; on its way to the merchant's own address",
    "completed": "done",
    "payment_insufficient": "not enough; send the rest, or the merchant decides",
}
_PATIENCE_SECONDS: Final = 120
_POLL_SECONDS: Final = 0.1


def places() -> Places:
    """The sandbox below ``COUNTERFOIL_VAR_DIR``, or ``var`` here."""
    return Places(Path(os.environ.get("COUNTERFOIL_VAR_DIR", "var")).absolute())


@demo_cli.command("up")
def demo_up(
    port: Annotated[int | None, typer.Option(help="8080, or another if that is taken")] = None,
    days: Annotated[
        int, typer.Option(min=0, max=400, help="of business to live through on the first start")
    ] = _LENGTH_DAYS,
    verbose: Annotated[bool, typer.Option(help="show what the processes log")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Bring the whole system up and keep it up until Ctrl-C."""
    from counterfoil.clock import SystemClock
    from counterfoil.sandbox.demo import running
    from counterfoil.sandbox.months import Months

    home = places()
    log_path = home.var / "demo.log"
    home.var.mkdir(parents=True, exist_ok=True)

    async def up() -> None:
        with log_path.open("a", encoding="utf-8") as log:
            # What this process does itself while months go by, beside what the others say.
            configure_log(log)

            def say(name: str, line: str) -> None:
                print(name, line, file=log, flush=True)
                if verbose:
                    _out.print(name, line, markup=False, soft_wrap=True)

            with _out.status("") as status:

                def tell(step: str) -> None:
                    status.update(step)
                    _out.print(f"[dim]·[/] {step}")

                months = Months(SystemClock().now(), days) if days else None
                async with running(home, say, tell, port=port, months=months) as sandbox:
                    await samples.ensure(sandbox.facts)
                    status.stop()
                    _welcome(sandbox.facts, home)
                    try:
                        await asyncio.Event().wait()
                    finally:
                        _out.print("Stopping")

    with home.alone():
        run_until(up(), until=until_signalled)


@demo_cli.command("reset")
def demo_reset() -> None:
    """Clear everything that the sandbox keeps: its database, chains, keys and secrets."""
    home = places()
    with home.alone():
        home.clear()
    _out.print(f"cleared {home.var}")


@demo_cli.command("env")
def demo_env() -> None:
    """Print shell variables for driving the sandbox: ``eval "$(counterfoil demo env)"``."""
    facts = _facts()
    values = {
        "API": f"{facts.base_url}/v1/studio/api",
        "CLIENT": f"X-Client-ID: {facts.client_id}",
        "INBOX": facts.callback_inbox_url,
        **{
            member.roles[0].upper(): f"X-STUDIO-API-KEY: {member.api_key}"
            for member in reversed(facts.members)
        },
    }
    for name, value in values.items():
        typer.echo(f"{name}={shlex.quote(value)}")
    typer.echo(f"export COUNTERFOIL_VAR_DIR={shlex.quote(str(places().var))}")
    for key, chain in facts.chains.items():
        typer.echo(f"export COUNTERFOIL_RPC_{key.upper()}={shlex.quote(chain.rpc_url)}")


@demo_cli.command("pay")
def demo_pay(
    invoice: str,
    chain: Annotated[str | None, typer.Option(help="arb, base or optimism")] = None,
    token: Annotated[str | None, typer.Option(help="USDC or USDT")] = None,
    amount: Annotated[
        str | None, typer.Option(help="in whole coins; what is due if left out")
    ] = None,
) -> None:
    """Pay an invoice as the sandbox's customer, and watch what becomes of it."""
    asyncio.run(_pay(_facts(), invoice, chain, token, amount))


def _facts() -> DemoFacts:
    facts = places().read()
    if facts is None:
        raise NotFound(
            "no sandbox was ever started here; run make demo first, and leave it running"
        )
    return facts


@demo_cli.command("watch")
def demo_watch(invoice: str) -> None:
    """Watch an invoice until it is completed, or waits for somebody."""

    async def watch() -> None:
        async with samples.Api(_facts(), "auditor") as api:
            status = (await api.invoice(invoice))["status"]
            _out.print(f"  [bold]{status}[/]  {_MEANING.get(status, '')}")
            await _follow(api, invoice, status)

    asyncio.run(watch())


async def _pay(
    facts: DemoFacts, invoice_id: str, chain: str | None, token: str | None, amount: str | None
) -> None:
    from counterfoil.sandbox.customer import Customer

    async with samples.Api(facts, "auditor") as api:
        invoice = await api.invoice(invoice_id)
        if invoice["status"] not in _PAYABLE:
            raise OutOfPlace(
                f"this invoice is {invoice['status']}, so a customer would not be asked to pay it"
            )
        option = _chosen(invoice, chain, token)
        known = find_chain(option["chain"])
        asset = None if known is None else accepted_asset(known, option["token"])
        if known is None or asset is None:
            raise NotFound(f"{option['token']} on {option['chain']} is not in the registry")
        units = parse_units(amount or option["amount"], asset.decimals, "--amount")
        text = f"{format_units(units, asset.decimals)} {asset.symbol} on {known.name}"
        node = AnvilNode(facts.chains[known.key].rpc_url)
        with _out.status(f"paying {text}"):
            try:
                tx_hash = await Customer.known().pay(node, asset, option["address"], units)
            finally:
                await node.close()
        _out.print(f"paid {text}\n  transaction {tx_hash}", soft_wrap=True)
        await _follow(api, invoice_id, invoice["status"])


def _chosen(invoice: Mapping[str, Any], chain: str | None, token: str | None) -> Mapping[str, Any]:
    """The first way to pay that fits; `Invalid` listing all when none does."""
    options = invoice["payment_options"]
    for option in options:
        if chain in (None, option["chain"]) and token in (None, option["token"]):
            return dict(option)
    offered = ", ".join(f"{o['token']} on {o['chain']}" for o in options) or "nothing"
    raise Invalid.field("--chain/--token", f"this invoice takes {offered}")


async def _follow(api: "samples.Api", invoice_id: str, status: str) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE_SECONDS
    started = loop.time()
    settled = False
    with _out.status("waiting for the chain") as line:
        while loop.time() < deadline and not settled:
            invoice = await api.invoice(invoice_id)
            if invoice["status"] != status:
                status = invoice["status"]
                seconds = loop.time() - started
                _out.print(f"  {seconds:5.1f} s  [bold]{status}[/]  {_MEANING.get(status, '')}")
                line.update(_MEANING.get(status, status))
            settled = _is_settled(invoice)
            await asyncio.sleep(_POLL_SECONDS)
    if not settled:
        _out.print("nothing more happened within two minutes; see demo.log in the var folder")


def _is_settled(invoice: Mapping[str, Any]) -> bool:
    """Whether the next step is somebody's; nobody can sign before the payment is final."""
    young = any(transfer["depth"] != "final" for transfer in invoice["transfers"])
    return invoice["status"] in _SETTLED and not (invoice["status"] == "sign_pending" and young)


def _welcome(facts: DemoFacts, home: Places) -> None:
    _out.print(f"\n[bold]Counterfoil is up[/] at {facts.public_url}")
    _out.print("Local Arbitrum, Base and Optimism are mining a block a second.\n")
    _out.print(f"Sign in at [bold]{facts.public_url}/studio[/] as any of them:\n")
    for member in (*facts.members, *facts.neighbours):
        # Plain and never cut off: people copy it.
        line = f"  {member.email:27} {member.password}  {', '.join(member.roles)}"
        _out.print(line, markup=False, highlight=False, soft_wrap=True)
    if facts.neighbours:
        _out.print(f"\n{NEIGHBOUR_NAME} is another organisation; the reviewer belongs to both.")
    _out.print(f"\nKeys, chains and the payer:  {home.facts}", soft_wrap=True)
    _out.print(f"Callbacks arrive at:         {facts.callback_inbox_url}")
    _out.print("What the processes log:      " + str(home.var / "demo.log"), soft_wrap=True)
    _out.print("\nThe README's next lines take an invoice from creation to completed.")
    _out.print("[dim]Ctrl-C stops everything; make demo goes on where it was.[/]")
