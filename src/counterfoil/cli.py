"""The command line: processes, upkeep, proof, and the sandbox."""

import asyncio
import os
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Final, NoReturn

import typer
from rich.markup import escape
from rich.table import Table

from counterfoil import cli_moves, cli_watch
from counterfoil.chains.port import ChainError
from counterfoil.cli_setup import list_cli, org_cli, seed_cli
from counterfoil.cli_shared import (
    busy,
    database,
    fail,
    out,
    show,
    with_desk,
)
from counterfoil.config import (
    ConfigError,
    DatabaseConfig,
    SignConfig,
    WebConfig,
    WorkConfig,
    read_chains,
)
from counterfoil.core import ids
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Refusal
from counterfoil.core.money import format_units
from counterfoil.db.migrate import MigrationError
from counterfoil.db.migrate import migrate as apply_migrations
from counterfoil.desk import after_end, files, proving
from counterfoil.desk.desk import Desk
from counterfoil.processes import PROCESSES
from counterfoil.signer.client import SignerClient
from counterfoil.signer.refusals import (
    MemoryBroken,
    SeedRefused,
    SignerRefused,
    SignerStartRefused,
    SignerUnreachable,
)
from counterfoil.supervisor import (
    Child,
    NotReady,
    Supervisor,
    counterfoil,
    run_until,
    until_signalled,
)
from counterfoil.workers.reconcile import reconcile as compare_books

_APPROVAL: Final = "COUNTERFOIL_APPROVAL_SECRET"
_SEED: Final = "COUNTERFOIL_SEED_"

cli: Final = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
audit_cli: Final = typer.Typer(no_args_is_help=True, help="The audit log.")
cli.add_typer(audit_cli, name="audit")
cli.add_typer(seed_cli, name="seed")
cli.add_typer(org_cli, name="org")
cli.add_typer(list_cli, name="list")

_EXPECTED: Final = (
    ConfigError,
    Refusal,
    ChainError,
    SeedRefused,
    SignerStartRefused,
    SignerRefused,
    SignerUnreachable,
    MemoryBroken,
    MigrationError,
    NotReady,
)
"""What goes wrong for a reason that one sentence explains; anything else is a bug, shown whole."""


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        out.print(metadata.version("counterfoil"))
        raise typer.Exit


@cli.callback()
def options(
    *,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = (
        False
    ),
) -> None:
    """Invoices that are approved, paid on chain, signed for, settled, and provable."""
    del version  # shown by its callback, before anything else happens


def complete() -> typer.Typer:
    """The command line with the commands of all files; to be asked for once."""
    from counterfoil.sandbox.cli import demo_cli

    cli.add_typer(demo_cli, name="demo")
    cli_moves.add_to(cli)
    cli_watch.add_to(cli)
    return cli


def main() -> None:
    """Run the command line; what can be explained is explained, without a traceback."""
    whole = complete()
    try:
        whole()
    except _EXPECTED as problem:
        fail(str(problem))


def explain(problem: Exception) -> NoReturn:
    """End with one sentence for what a sentence explains; raise anything else again."""
    if isinstance(problem, _EXPECTED):
        fail(str(problem))
    raise problem


# -- processes -----------------------------------------------------------------------------------


for _process in PROCESSES.values():
    cli.command()(_process)


@cli.command()
def up() -> None:
    """Run all three on this machine and keep them running."""
    config = WebConfig.from_env(os.environ)
    work_config = WorkConfig.from_env(os.environ)
    SignConfig.from_env(os.environ)
    signer = SignerClient(work_config.signer_socket)

    async def supervise(url: str) -> None:
        everything = {**os.environ, "COUNTERFOIL_DATABASE_URL": url}
        no_keys = {k: v for k, v in everything.items() if not k.startswith((_APPROVAL, _SEED))}
        no_seed = {k: v for k, v in everything.items() if not k.startswith(_SEED)}
        supervisor = Supervisor(
            lambda name, line: out.print(name, line, markup=False, highlight=False, soft_wrap=True)
        )
        try:
            await supervisor.start(Child("sign", counterfoil("sign"), everything, signer.healthy))
            await supervisor.start(Child("work", counterfoil("work"), no_keys))
            await supervisor.start(Child("serve", counterfoil("serve"), no_seed))
            out.print(f"Counterfoil is up at http://{config.host}:{config.port}")
            await asyncio.Event().wait()
        finally:
            await supervisor.stop()

    with database(config.database, create=True) as url:
        apply_migrations(url)
        run_until(supervise(url), until=until_signalled)


# -- upkeep --------------------------------------------------------------------------------------


@cli.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    with database(DatabaseConfig.from_env(os.environ), create=True) as url:
        applied = apply_migrations(url)
    out.print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")


# -- proof ---------------------------------------------------------------------------------------


@audit_cli.command("verify")
def audit_verify() -> None:
    """Recompute audit log, kept counts, lists and files; status 1 when one does not hold."""

    async def verify(desk: Desk) -> int:
        with busy("recomputing every seal"):
            found = await proving.verify_audit(desk)
        out.print(f"{found.entries} entries of {found.invoices} invoices recomputed")
        for broken in found.breaks:
            invoice = ids.public("inv", broken.invoice_id)
            out.print(f"[red]{invoice}, entry {broken.sequence}: {broken.finding}[/]")
        out.print(f"{found.org_entries} entries about organisations recomputed")
        for wrong in found.org_breaks:
            out.print(
                f"[red]organisation {wrong.org_id}, entry {wrong.sequence}: {wrong.finding}[/]"
            )
        out.print("[green]every seal holds[/]" if found.holds else "[red]it does not hold[/]")
        counts = await proving.miscounted(desk)
        for sentence in counts:
            out.print(f"[red]{sentence}[/]")
        with busy("reckoning what is left where invoices have ended"):
            differences = await after_end.differences(desk)
        _print_differences(differences)
        if differences:
            out.print(
                "[red]what is left at these invoices is safe and can be sent back, but their list"
                " is wrong: counterfoil audit relist puts it right; then please tell us[/]",
                soft_wrap=True,
            )
        with busy("comparing files with their hashes"):
            stored = await files.compare(desk)
        out.print(f"{stored.files} files compared with what was uploaded")
        for sentence in stored.findings:
            out.print(f"[red]{escape(sentence)}[/]")
        kept_well = not (counts or differences or stored.findings)
        return 0 if found.holds and kept_well else 1

    raise typer.Exit(with_desk(DatabaseConfig.from_env(os.environ), verify))


@audit_cli.command("relist")
def audit_relist() -> None:
    """Write the list of money left where invoices have ended anew, from transfers and ledger."""

    async def relist(desk: Desk) -> int:
        with busy("reckoning what is left where invoices have ended"):
            found = await after_end.differences(desk)
        _print_differences(found)
        await after_end.put_right(desk, found)
        again = await after_end.differences(desk)
        out.print(
            "[red]the list is still wrong: run it again[/]"
            if again
            else f"[green]{len(found)} put right; the list is what transfers and ledger say[/]"
        )
        return 1 if again else 0

    raise typer.Exit(with_desk(DatabaseConfig.from_env(os.environ), relist))


def _print_differences(found: Sequence[after_end.Difference]) -> None:
    for one in found:
        invoice = ids.public("inv", one.invoice_id)
        out.print(f"[red]organisation {one.org_id}, {invoice}: {one.finding}[/]", soft_wrap=True)


@cli.command()
def reconcile() -> None:
    """Compare the books with the chains' balances; status 1 for any unit not explained."""
    from counterfoil.chains.evm.chain import EvmChain

    chains = read_chains(os.environ)

    async def compare(desk: Desk) -> int:
        unexplained = 0
        table = Table("chain", "asset", "at block", "addresses", "books", "chain", "unexplained")
        for key, reach in chains.items():
            endpoints = [endpoint.reveal() for endpoint in reach.endpoints]
            chain = EvmChain.over(CHAINS[key], endpoints, desk.clock)
            try:
                with busy(f"comparing {CHAINS[key].name}"):
                    compared = [found async for found in compare_books(desk, chain)]
            finally:
                await chain.close()
            for found in compared:
                decimals = found.asset.decimals
                beyond = found.chain_units - found.book_units
                table.add_row(
                    key,
                    found.asset.symbol,
                    str(found.block_number),
                    str(found.addresses),
                    format_units(found.book_units, decimals),
                    format_units(found.chain_units, decimals),
                    f"{'-' if beyond < 0 else ''}{format_units(abs(beyond), decimals)}",
                )
                for one in found.differences:
                    unexplained += not one.under_way
                    why = "a move is under way" if one.under_way else "the books do not know why"
                    out.print(
                        f"[{'yellow' if one.under_way else 'red'}]organisation {one.org_id},"
                        f" {one.account} {one.address}: {one.unexplained_units:+} base units of"
                        f" {one.asset.symbol} on {key}; {why}[/]",
                        soft_wrap=True,
                    )
        show(table)
        if not table.rows:
            out.print("nothing to compare: no chain has been watched yet")
            return 1
        out.print(
            "[green]every unit is explained[/]"
            if not unexplained
            else f"[red]{unexplained} addresses do not hold what the books say[/]"
        )
        return 1 if unexplained else 0

    raise typer.Exit(with_desk(DatabaseConfig.from_env(os.environ), compare))
