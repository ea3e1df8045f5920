"""``counterfoil seed``, ``org`` and ``list``: what an operator sets up once."""

import os
import secrets
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Final

import typer
from argon2 import PasswordHasher

from counterfoil.books.orgs import Org
from counterfoil.cli_shared import busy, fail, out, with_desk
from counterfoil.clock import SystemClock
from counterfoil.config import DatabaseConfig, SignConfig, WorkConfig
from counterfoil.core import ids, zones
from counterfoil.core.assets import CHAINS
from counterfoil.core.roles import ROLES, operator
from counterfoil.core.secrets import callback_secret, shown_callback_secret
from counterfoil.core.text import clean_email
from counterfoil.desk import callbacks, clients, members, settings
from counterfoil.desk.desk import Desk
from counterfoil.providers.screening.lists import READERS
from counterfoil.signer.client import SignerClient
from counterfoil.workers.lists import import_list

seed_cli: Final = typer.Typer(no_args_is_help=True, help="The signer's seed.")
org_cli: Final = typer.Typer(no_args_is_help=True, help="Organisations, members and API keys.")
list_cli: Final = typer.Typer(no_args_is_help=True, help="Sanctions lists.")


@seed_cli.command("create")
def seed_create() -> None:
    """Make a new seed, sealed with the passphrase, and its memory. Never overwrites one."""
    from counterfoil.signer.memory import memory_beside
    from counterfoil.signer.service import create_signer_files

    config = SignConfig.from_env(os.environ)
    create_signer_files(config.seed_file, config.seed_passphrase.reveal(), SystemClock().now())
    out.print(f"sealed a new seed in {config.seed_file}; back it up together with its passphrase")
    out.print("never put back an older copy of", memory_beside(config.seed_file))


@seed_cli.command("new-memory")
def seed_new_memory(
    nonces: Annotated[
        list[str] | None,
        typer.Argument(help="chain:address=nonce of each wallet; without any, these are listed"),
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
    out.print(
        f"began {memory_beside(config.seed_file)}; payments leave again from midnight UTC on",
        soft_wrap=True,
    )


@org_cli.command("create")
def org_create(
    name: str,
    client_id: Annotated[str, typer.Option(help="what clients send as X-Client-ID")],
    org_id: Annotated[int, typer.Option(min=1, max=2**31 - 1)] = 1,
    time_zone: Annotated[
        str, typer.Option(help="whose days its documents bear, such as Asia/Taipei")
    ] = zones.DEFAULT,
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
                time_zone=zones.checked(time_zone),
            ),
        )
        secret = callback_secret(config.secret.reveal().encode(), org_id, 1)
        out.print(f"organisation {org_id}: {name}")
        out.print(f"  callback secret  {shown_callback_secret(secret)}")
        out.print(f"  send gas money to {wallets.gas} on each chain")

    with_desk(config.database, create)


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
            out.print(f"{field.name}={getattr(policy, field.name)}")

    with_desk(DatabaseConfig.from_env(os.environ), change)


@org_cli.command("callback-secret")
def org_callback_secret(org_id: Annotated[int, typer.Argument()] = 1) -> None:
    """Show the secret that signs the organisation's callbacks, as it is now."""
    config = WorkConfig.from_env(os.environ)

    async def show(desk: Desk) -> None:
        master = config.secret.reveal().encode()
        out.print(await callbacks.secret(desk, master, operator(org_id)), soft_wrap=True)

    with_desk(config.database, show)


@org_cli.command("deposits")
def org_deposits(
    org_id: Annotated[int, typer.Argument()] = 1,
    chain: Annotated[str | None, typer.Option(help=f"one of {', '.join(CHAINS)}")] = None,
    mode: Annotated[str | None, typer.Option(help="factory or hd")] = None,
) -> None:
    """Show or choose how the organisation's new invoices are paid on a chain."""
    if (chain is None) != (mode is None):
        fail("--chain and --mode go together; without both, what is chosen is shown")

    async def change(desk: Desk) -> None:
        modes = await settings.choose_deposits(desk, org_id, chain, mode)
        for key, found in modes.items():
            out.print(f"{key}={found}")

    with_desk(DatabaseConfig.from_env(os.environ), change)


@org_cli.command("clients")
def org_clients(
    add: Annotated[str | None, typer.Option(help="make one for a program of this name")] = None,
    disable: Annotated[str | None, typer.Option(help="refuse whoever sends this one")] = None,
    enable: Annotated[str | None, typer.Option(help="take this one again")] = None,
    rename: Annotated[
        tuple[str, str] | None, typer.Option(help="a client id, and what to call it")
    ] = None,
    org_id: Annotated[int, typer.Option()] = 1,
) -> None:
    """Show the client ids of an organisation's programs; make, rename, disable or enable one."""

    async def change(desk: Desk) -> None:
        by = operator(org_id)
        if add is not None:
            await clients.add(desk, add, by)
        if rename is not None:
            await clients.rename(desk, *rename, by)
        if disable is not None:
            await clients.disable(desk, disable, by)
        if enable is not None:
            await clients.enable(desk, enable, by)
        for one in await clients.shown(desk, by):
            state = "" if one.disabled_at is None else f"  disabled since {one.disabled_at:%F %R}"
            out.print(f"{one.client_id}  {one.name}{state}", soft_wrap=True, markup=False)

    with_desk(DatabaseConfig.from_env(os.environ), change)


@org_cli.command("add-member")
def org_add_member(
    email: str,
    name: Annotated[str, typer.Option()],
    role: Annotated[list[str], typer.Option(help=f"any of {', '.join(ROLES)}; repeat for more")],
    org_id: Annotated[int, typer.Option()] = 1,
) -> None:
    """Add a person to an organisation and make their first API key, which is shown once."""
    address = clean_email(email, "email")
    members.check_roles(tuple(role))
    password = typer.prompt("password for the web pages", hide_input=True, confirmation_prompt=True)

    async def add(desk: Desk) -> None:
        member = await members.add_member(
            desk,
            org_id,
            email=address,
            name=name,
            roles=tuple(role),
            password_hash=PasswordHasher().hash(password),
        )
        key = await members.issue_key(desk, member, "first key")
        out.print(f"{ids.public('user', member.member_id)}: {address}, {', '.join(role)}")
        out.print(f"  API key, shown only now: {key}", soft_wrap=True)

    with_desk(DatabaseConfig.from_env(os.environ), add)


@org_cli.command("free-email")
def org_free_email(
    email: str,
    reason: Annotated[str, typer.Option(help="how you know whose address it is; kept in the log")],
    taken_by: Annotated[
        int | None, typer.Option(help="the organisation through which somebody took it")
    ] = None,
) -> None:
    """Take a sign-in from whoever took an e-mail address that is not theirs."""
    from counterfoil.desk.freeing import free_email

    unknown = PasswordHasher().hash(secrets.token_urlsafe(32))

    async def free(desk: Desk) -> None:
        named = await free_email(
            desk, email, unknown_hash=unknown, reason=reason, taken_by=taken_by
        )
        places = ", ".join(map(str, named)) or "none"
        out.print(f"{email} is free; organisations that named it: {places}", soft_wrap=True)
        out.print("  its owner joins with a new link of theirs", soft_wrap=True)

    with_desk(DatabaseConfig.from_env(os.environ), free)


@list_cli.command("import")
def list_import(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    form: Annotated[str, typer.Option(help=", ".join(READERS))],
    code: Annotated[str, typer.Option(help="what the list is called here")] = "OFAC_SDN",
    override: Annotated[bool, typer.Option(help="take a list that lost many entries")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Bring a sanctions list into force from a file."""
    reader = READERS.get(form)
    if reader is None:
        fail(f"--form must be one of {', '.join(READERS)}")
    with path.open("rb") as file, busy(f"reading {path.name}"):
        imported = reader(file, code)

    async def bring(desk: Desk) -> None:
        diff = await import_list(desk, imported, str(path.name), override=override)
        out.print(
            f"{code}: {imported.address_count} addresses,"
            f" {len(diff.added)} new, {len(diff.removed)} removed"
        )

    with_desk(DatabaseConfig.from_env(os.environ), bring)
