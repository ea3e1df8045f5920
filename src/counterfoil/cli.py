"""The command line: processes, upkeep, proof, and the sandbox."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer
from argon2 import PasswordHasher
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from counterfoil import cli_moves
from counterfoil.books.orgs import Org
from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.chains.port import ChainError
from counterfoil.clock import SystemClock, TimeSortedIds
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
from counterfoil.core.secrets import callback_secret, shown_callback_secret
from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.db.migrate import MigrationError, check_current
from counterfoil.db.migrate import migrate as apply_migrations
from counterfoil.db.pool import Database
from counterfoil.desk import members, proving, settings, watching
from counterfoil.desk.desk import Desk
from counterfoil.log import configure as configure_log
from counterfoil.providers.screening.lists import READERS
from counterfoil.signer.client import SignerClient
from counterfoil.signer.refusals import (
    MemoryBroken,
    SeedRefused,
    SignerRefused,
    SignerStartRefused,
    SignerUnreachable,
)
from counterfoil.supervisor import Child, NotReady, Supervisor, counterfoil, until_signalled
from counterfoil.workers.lists import import_list
from counterfoil.workers.reconcile import reconcile as compare_books

T = TypeVar("T")

_APPROVAL: Final = "COUNTERFOIL_APPROVAL_SECRET"
_SEED: Final = "COUNTERFOIL_SEED_"

_out: Final = Console()
_err: Final = Console(stderr=True)

cli: Final = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Invoices that are approved, paid on chain, signed for, settled, and provable.",
)
audit_cli: Final = typer.Typer(no_args_is_help=True, help="The audit log.")
seed_cli: Final = typer.Typer(no_args_is_help=True, help="The signer's seed.")
org_cli: Final = typer.Typer(no_args_is_help=True, help="Organisations, members and API keys.")
list_cli: Final = typer.Typer(no_args_is_help=True, help="Sanctions lists.")
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


def main() -> None:
    """Run the command line; what can be explained is explained, without a traceback."""
    from counterfoil.sandbox.cli import demo_cli

    cli.add_typer(demo_cli, name="demo")
    cli_moves.add_to(cli, _with_desk)
    try:
        cli()
    except _EXPECTED as problem:
        _fail(str(problem))


# -- processes -----------------------------------------------------------------------------------


@cli.command()
def serve() -> None:
    """Run the web process."""
    from counterfoil import app as web

    configure_log()
    config = WebConfig.from_env(os.environ)
    web.serve(config, Database(_current(config.database), name="counterfoil-web"))


@cli.command()
def work() -> None:
    """Run the workers: watching, screening, moving, telling."""
    from counterfoil import worker

    configure_log()
    config = WorkConfig.from_env(os.environ)
    _run(worker.work(config, _current(config.database)), until=until_signalled)


@cli.command()
def sign() -> None:
    """Run the signer, the only process with keys."""
    from counterfoil.signer import memory, policy, service

    configure_log()
    config = SignConfig.from_env(os.environ)
    asyncio.run(
        service.serve(
            service.SignerConfig(
                socket_path=config.signer_socket,
                seed_path=config.seed_file,
                memory_path=memory.memory_beside(config.seed_file),
                passphrase=config.seed_passphrase.reveal(),
                approval_key=config.approval_secret.reveal().encode(),
                limits=policy.Limits(
                    move_dollars=config.move_dollars, day_dollars=config.day_dollars
                ),
            ),
            SystemClock(),
        )
    )


@cli.command()
def up() -> None:
    """Run all three on this machine and keep them running."""
    config = WebConfig.from_env(os.environ)
    work_config = WorkConfig.from_env(os.environ)
    SignConfig.from_env(os.environ)
    url = _database_url(config.database)
    apply_migrations(url)
    signer = SignerClient(work_config.signer_socket)
    everything = {**os.environ, "COUNTERFOIL_DATABASE_URL": url}
    no_keys = {k: v for k, v in everything.items() if not k.startswith((_APPROVAL, _SEED))}
    no_seed = {k: v for k, v in everything.items() if not k.startswith(_SEED)}

    async def supervise() -> None:
        supervisor = Supervisor(lambda name, line: _out.print(f"[dim]{name}[/] ", line))
        try:
            await supervisor.start(Child("sign", counterfoil("sign"), everything, signer.healthy))
            await supervisor.start(Child("work", counterfoil("work"), no_keys))
            await supervisor.start(Child("serve", counterfoil("serve"), no_seed))
            await until_signalled()
        finally:
            await supervisor.stop()

    asyncio.run(supervise())


# -- upkeep --------------------------------------------------------------------------------------


@cli.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    applied = apply_migrations(_database_url(DatabaseConfig.from_env(os.environ)))
    _out.print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")


@cli.command()
def status() -> None:
    """Show how far each chain is watched; status 1 when one is not being watched."""

    async def show(desk: Desk) -> int:
        positions = await watching.positions(desk)
        table = Table("chain", "head", "its age", "safe", "final", "its age", "watched")
        for at in positions:
            table.add_row(
                at.chain,
                str(at.head_number),
                f"{at.head_age_seconds:.0f} s",
                str(at.safe_number),
                str(at.final_number),
                f"{at.final_age_seconds:.0f} s",
                "[green]yes[/]" if at.watched else "[red]no[/]",
            )
        _out.print(table)
        return 0 if positions and all(at.watched for at in positions) else 1

    raise typer.Exit(_with_desk(DatabaseConfig.from_env(os.environ), show))


@seed_cli.command("create")
def seed_create() -> None:
    """Make a new seed, sealed with the passphrase, and its memory. Never overwrites one."""
    from counterfoil.signer.memory import memory_beside
    from counterfoil.signer.service import create_signer_files

    config = SignConfig.from_env(os.environ)
    create_signer_files(config.seed_file, config.seed_passphrase.reveal(), SystemClock().now())
    _out.print(
        f"sealed a new seed in {config.seed_file}; back it up together with its passphrase."
        f" {memory_beside(config.seed_file)} remembers what is signed with it: keep it on a disk"
        " that lasts, and never put back an older copy",
        soft_wrap=True,
    )


@seed_cli.command("new-memory")
def seed_new_memory(
    nonces: Annotated[
        list[str] | None,
        typer.Argument(
            help="chain:address=nonce of each wallet; without any, the wallets are listed"
        ),
    ] = None,
    org: Annotated[
        list[int] | None, typer.Option(min=1, max=2**31 - 1, help="each organisation; 1")
    ] = None,
    approved_since: Annotated[
        str | None,
        typer.Option(
            help="pay what was approved since then, like 2026-03-02T09:30Z; only when the"
            " database is no older than the lost memory. Without it: approved from now on"
        ),
    ] = None,
) -> None:
    """Begin a memory in place of a lost one, once the wallets' nonces are checked."""
    from counterfoil.signer.memory import memory_beside
    from counterfoil.signer.recovery import Checked, parse_instant
    from counterfoil.signer.service import create_new_memory

    config = SignConfig.from_env(os.environ)
    now = SystemClock().now()
    checked = Checked(
        nonces=nonces or (),
        org_ids=org or (1,),
        approved_since=parse_instant(approved_since) if approved_since else now,
    )
    create_new_memory(config.seed_file, config.seed_passphrase.reveal(), checked, now)
    _out.print(
        f"began {memory_beside(config.seed_file)}; payments leave again from midnight UTC on",
        soft_wrap=True,
    )


@org_cli.command("create")
def org_create(
    name: str,
    client_id: Annotated[str, typer.Option(help="what clients send as X-Client-ID")],
    org_id: Annotated[int, typer.Option(min=1, max=2**31 - 1)] = 1,
) -> None:
    """Open an organisation; its wallet addresses come from the running signer."""
    config = WorkConfig.from_env(os.environ)

    async def create(desk: Desk) -> None:
        wallets = await SignerClient(config.signer_socket).addresses(org_id)
        await members.create_org(
            desk,
            Org(
                org_id=org_id,
                name=name,
                client_id=client_id,
                factory_address=wallets.factory,
                operator_address=wallets.operator,
                pool_address=wallets.pool,
                hold_address=wallets.hold,
                gas_address=wallets.gas,
            ),
        )
        secret = callback_secret(config.secret.reveal().encode(), org_id, 1)
        _out.print(f"organisation {org_id}: {name}")
        _out.print(f"  callback secret  {shown_callback_secret(secret)}")
        _out.print(f"  send gas money to {wallets.gas} on each chain")

    _with_desk(config.database, create)


@org_cli.command("policy")
def org_policy(
    setting: Annotated[
        list[str] | None, typer.Argument(help="NAME=VALUE, such as maker_is_not_checker=false")
    ] = None,
    org_id: Annotated[int, typer.Option()] = 1,
) -> None:
    """Show or change the rules that an organisation's new invoices live by."""

    async def change(desk: Desk) -> None:
        changes = dict(text.partition("=")[::2] for text in setting or [])
        policy = await settings.change_policy(desk, org_id, changes)
        for field in fields(policy):
            _out.print(f"{field.name}={getattr(policy, field.name)}")

    _with_desk(DatabaseConfig.from_env(os.environ), change)


@org_cli.command("add-member")
def org_add_member(
    email: str,
    name: Annotated[str, typer.Option()],
    role: Annotated[list[str], typer.Option(help="may be given several times")],
    org_id: Annotated[int, typer.Option()] = 1,
) -> None:
    """Add a person to an organisation and make their first API key, which is shown once."""
    password = typer.prompt("password for the web pages", hide_input=True, confirmation_prompt=True)

    async def add(desk: Desk) -> None:
        member = await members.add_member(
            desk,
            org_id,
            email=email,
            name=name,
            roles=tuple(role),
            password_hash=PasswordHasher().hash(password),
        )
        key = await members.issue_key(desk, member, "first key")
        _out.print(f"{ids.public('user', member.member_id)}: {email}, {', '.join(role)}")
        _out.print(f"  API key, shown only now: {key}", soft_wrap=True)

    _with_desk(DatabaseConfig.from_env(os.environ), add)


@list_cli.command("import")
def list_import(
    path: Path,
    form: Annotated[str, typer.Option(help=", ".join(READERS))],
    code: Annotated[str, typer.Option(help="what the list is called here")] = "OFAC_SDN",
    override: Annotated[bool, typer.Option(help="take a list that lost many entries")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Bring a sanctions list into force from a file."""
    reader = READERS.get(form)
    if reader is None:
        _fail(f"--form must be one of {', '.join(READERS)}")
    with path.open("rb") as file, _busy(f"reading {path.name}"):
        imported = reader(file, code)

    async def bring(desk: Desk) -> None:
        diff = await import_list(desk, imported, str(path.name), override=override)
        _out.print(
            f"{code}: {imported.address_count} addresses,"
            f" {len(diff.added)} new, {len(diff.removed)} removed"
        )

    _with_desk(DatabaseConfig.from_env(os.environ), bring)


# -- proof ---------------------------------------------------------------------------------------


@audit_cli.command("verify")
def audit_verify() -> None:
    """Recompute the whole audit log; status 1 when anything in it does not hold."""

    async def verify(desk: Desk) -> int:
        with _busy("recomputing every seal"):
            found = await proving.verify_audit(desk)
        _out.print(f"{found.entries} entries of {found.invoices} invoices recomputed")
        for broken in found.breaks:
            invoice = ids.public("inv", broken.invoice_id)
            _out.print(f"[red]{invoice}, entry {broken.sequence}: {broken.finding}[/]")
        _out.print("[green]every seal holds[/]" if not found.breaks else "[red]it does not hold[/]")
        return 1 if found.breaks else 0

    raise typer.Exit(_with_desk(DatabaseConfig.from_env(os.environ), verify))


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
                with _busy(f"comparing {CHAINS[key].name}"):
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
                    _out.print(
                        f"[{'yellow' if one.under_way else 'red'}]organisation {one.org_id},"
                        f" {one.account} {one.address}: {one.unexplained_units:+} base units of"
                        f" {one.asset.symbol} on {key}; {why}[/]",
                        soft_wrap=True,
                    )
        _out.print(table)
        _out.print(
            "[green]every unit is explained[/]"
            if not unexplained
            else f"[red]{unexplained} addresses do not hold what the books say[/]"
        )
        return 1 if unexplained else 0

    raise typer.Exit(_with_desk(DatabaseConfig.from_env(os.environ), compare))


# -- shared --------------------------------------------------------------------------------------


def _current(config: DatabaseConfig) -> str:
    """The database's address, if its schema is the one this program was written for."""
    url = _database_url(config)
    check_current(url)
    return url


def _database_url(config: DatabaseConfig) -> str:
    if config.url is not None:
        return config.url.reveal()
    return EmbeddedPostgres(config.embedded_dir).start()


@asynccontextmanager
async def _desk(url: str) -> Any:  # noqa: ANN401 - an async context manager of a Desk
    database = Database(url, name="counterfoil-cli", max_connections=2)
    await database.open()
    try:
        yield Desk(
            database=database,
            clock=SystemClock(),
            ids=TimeSortedIds(),
            addresses={"evm": parse_evm_address},
        )
    finally:
        await database.close()


def _with_desk(config: DatabaseConfig, do: Callable[[Desk], Coroutine[Any, Any, T]]) -> T:
    url = _database_url(config)

    async def opened() -> T:
        async with _desk(url) as desk:
            return await do(desk)

    return asyncio.run(opened())


def _run(job: Coroutine[Any, Any, None], until: Callable[[], Awaitable[None]]) -> None:
    """Run a job that never ends by itself until somebody asks for its end."""

    async def both() -> None:
        running = asyncio.ensure_future(job)
        asked = asyncio.ensure_future(until())
        await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        running.cancel()
        await asyncio.wait({running})

    asyncio.run(both())


def _busy(what: str) -> Progress:
    progress = Progress(
        SpinnerColumn(), TextColumn(what), TimeElapsedColumn(), console=_err, transient=True
    )
    progress.add_task(what)
    return progress


def _fail(sentence: str) -> NoReturn:
    _err.print(f"[red]{sentence}[/]", soft_wrap=True)
    raise SystemExit(2)
