"""``counterfoil move`` and ``counterfoil wallet``: what stands still, and how to get it going."""

import getpass
import os
from datetime import timedelta
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from rich.table import Table

from counterfoil.chains.evm.chain import EvmChain
from counterfoil.cli_shared import out, with_desk
from counterfoil.config import DatabaseConfig, read_chains
from counterfoil.core import ids
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.core.money import format_units
from counterfoil.desk import upkeep
from counterfoil.desk.desk import Desk
from counterfoil.desk.upkeep import Held
from counterfoil.workers import move as mover

T = TypeVar("T")


Reason = Annotated[str, typer.Option(help="what you found; kept for those who look later")]


def add_to(cli: typer.Typer) -> None:
    """Give the command line its ``move`` and ``wallet`` commands."""
    moves = typer.Typer(no_args_is_help=True, help="Money on its way out that stands still.")
    wallets = typer.Typer(no_args_is_help=True, help="The wallets that send it.")
    cli.add_typer(moves, name="move")
    # A group, so that its one command keeps its name.
    wallets.callback()(_wallets)
    cli.add_typer(wallets, name="wallet")

    @moves.command("list")
    def move_list() -> None:
        """Show every move that is parked or waits, and every frozen wallet."""
        with_desk(DatabaseConfig.from_env(os.environ), _show)

    @moves.command("retry")
    def move_retry(
        move_id: UUID,
        reason: Reason,
        org_id: Annotated[int, typer.Option()] = 1,
    ) -> None:
        """Let a parked move start again, or a waiting one at once."""

        async def again(desk: Desk) -> None:
            await upkeep.retry(desk, org_id, move_id, by=_operator(), reason=reason)
            out.print(f"move {move_id} is ready again", soft_wrap=True)

        with_desk(DatabaseConfig.from_env(os.environ), again)

    @wallets.command("thaw")
    def wallet_thaw(chain: str, address: str, reason: Reason) -> None:
        """Let a frozen wallet sign again, once you know who used its key."""

        async def thaw(desk: Desk) -> None:
            port = _chain(chain, desk)
            try:
                parked = await mover.thaw(
                    desk, port, address.lower(), by=_operator(), reason=reason
                )
            finally:
                await port.close()
            out.print(f"{address} on {chain} may sign again", soft_wrap=True)
            for move_id in parked:
                out.print(f"  parked, as its nonce is gone: move {move_id}", soft_wrap=True)

        with_desk(DatabaseConfig.from_env(os.environ), thaw)


def _wallets() -> None:
    """The wallets that send money."""


async def _show(desk: Desk) -> None:
    held = await upkeep.held_up(desk)
    table = Table("move", "org", "what", "amount", "chain", "invoice", "stands since", "goes on")
    for one in held:
        table.add_row(
            str(one.move_id),
            str(one.org_id),
            one.purpose,
            _amount(one),
            one.chain,
            ids.public("inv", one.invoice_id) if one.invoice_id else "",
            _age(one.age),
            f"{one.wait_until:%Y-%m-%d %H:%M:%SZ}" if one.wait_until else "[red]parked[/]",
        )
    if held:
        out.print(table)
    for one in held:
        out.print(f"{one.move_id}: {one.reason}", soft_wrap=True, markup=False)
    frozen = await upkeep.frozen_wallets(desk)
    for wallet in frozen:
        out.print(
            f"frozen: {wallet.role} wallet {wallet.address} of organisation {wallet.org_id} on"
            f" {wallet.chain}: {wallet.frozen_reason}",
            soft_wrap=True,
            markup=False,
        )
    if not held and not frozen:
        out.print("nothing stands still")


def _amount(one: Held) -> str:
    if one.asset is None:
        return f"{one.amount_units} base units"
    return f"{format_units(one.amount_units, one.asset.decimals)} {one.asset.symbol}"


def _age(age: timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"


def _chain(key: str, desk: Desk) -> EvmChain:
    settings = read_chains(os.environ).get(key)
    if settings is None:
        raise Invalid.field("chain", f"{key} has no node; set COUNTERFOIL_RPC_{key.upper()}")
    endpoints = [endpoint.reveal() for endpoint in settings.endpoints]
    return EvmChain.over(CHAINS[key], endpoints, desk.clock)


def _operator() -> str:
    """Who runs this command, as far as the operating system says."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"operator:{name}"
