"""``counterfoil move``, ``wallet`` and ``balance``: what stands still, and how to get it going."""

import getpass
import os
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.table import Table

from counterfoil.cli_shared import fail, out, show, with_desk
from counterfoil.config import DatabaseConfig, WorkConfig, read_approval_secret, read_chains
from counterfoil.core import ids
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.core.money import format_units
from counterfoil.desk.desk import Desk

if TYPE_CHECKING:
    from counterfoil.chains.evm.chain import EvmChain
    from counterfoil.desk.upkeep import Held

Reason = Annotated[str, typer.Option(help="what you found; kept for those who look later")]
ApiKey = Annotated[
    str,
    typer.Option(
        envvar="COUNTERFOIL_API_KEY",
        prompt="your API key",
        hide_input=True,
        help="of a member who may sign",
    ),
]


def add_to(cli: typer.Typer) -> None:
    """Give the command line its ``move``, ``wallet`` and ``balance`` commands."""
    moves = typer.Typer(no_args_is_help=True, help="Money on its way out that stands still.")
    wallets = typer.Typer(no_args_is_help=True, help="The wallets that send it.")
    cli.add_typer(moves, name="move")
    # A group, so that its one command keeps its name.
    wallets.callback()(_wallets)
    cli.add_typer(wallets, name="wallet")
    _add_balances(cli)

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
        from counterfoil.desk import upkeep

        async def again(desk: Desk) -> None:
            await upkeep.retry(desk, org_id, move_id, by=_operator(), reason=reason)
            out.print(f"move {move_id} is ready again", soft_wrap=True)

        with_desk(DatabaseConfig.from_env(os.environ), again)

    _add_decisions(moves)

    @wallets.command("thaw")
    def wallet_thaw(
        chain: str,
        address: str,
        reason: Reason,
        explained: Annotated[
            list[int] | None,
            typer.Option(help="a nonce that was used by what you know and Counterfoil does not"),
        ] = None,
    ) -> None:
        """Let a frozen wallet sign again, once you know who used its key."""
        from counterfoil.signer.client import SignerClient
        from counterfoil.workers import thawing

        signer = SignerClient(WorkConfig.from_env(os.environ).signer_socket)

        async def thaw(desk: Desk) -> None:
            port = _chain(chain, desk)
            try:
                parked = await thawing.thaw(
                    desk,
                    port,
                    signer,
                    address.lower(),
                    by=_operator(),
                    reason=reason,
                    explained=explained or (),
                )
            finally:
                await port.close()
            out.print(f"{address} on {chain} may sign again", soft_wrap=True)
            for move_id in parked:
                out.print(f"  parked, as its nonce is gone: move {move_id}", soft_wrap=True)

        with_desk(DatabaseConfig.from_env(os.environ), thaw)


def _add_balances(cli: typer.Typer) -> None:
    balances = typer.Typer(no_args_is_help=True, help="What addresses hold beyond the books.")
    balances.callback()(_balances)
    cli.add_typer(balances, name="balance")

    @balances.command("dismiss")
    def balance_dismiss(chain: str, address: str, reason: Reason) -> None:
        """Let an invoice go on whose address holds more than the books say, once you know why."""
        from counterfoil.desk import comparing

        async def dismiss(desk: Desk) -> None:
            at = (chain, address.lower())
            tokens = await comparing.dismiss(desk, *at, by=_operator(), reason=reason)
            out.print(f"{address} on {chain}: {tokens} balances dismissed", soft_wrap=True)

        with_desk(DatabaseConfig.from_env(os.environ), dismiss)


def _balances() -> None:
    """What addresses hold beyond the books."""


def _add_decisions(moves: typer.Typer) -> None:
    """What only a member decides who may sign."""

    @moves.command("withdraw")
    def move_withdraw(move_id: UUID, reason: Reason, api_key: ApiKey) -> None:
        """Give up a parked refund, or payout of declined money, that can never be made."""
        from counterfoil.desk import approving, members

        async def withdraw(desk: Desk) -> None:
            person = await members.authenticate(desk, api_key)
            if person is None:
                fail("this API key is not good")
            await approving.withdraw(desk, move_id, person.actor, reason=reason)
            out.print(f"move {move_id} is withdrawn by {person.actor.uid}", soft_wrap=True)

        with_desk(DatabaseConfig.from_env(os.environ), withdraw)

    @moves.command("approve-again")
    def move_approve_again(move_id: UUID, reason: Reason, api_key: ApiKey) -> None:
        """Approve a payment again that reverted, lost its nonce or waited too long."""
        from counterfoil.desk import approving, members

        approval_key = read_approval_secret(os.environ).reveal().encode()

        async def approve(desk: Desk) -> None:
            person = await members.authenticate(desk, api_key)
            if person is None:
                fail("this API key is not good")
            desk = replace(desk, approval_key=approval_key)
            await approving.approve_again(desk, move_id, person.actor, reason=reason)
            out.print(
                f"move {move_id} is approved again by {person.actor.uid}, and ready",
                soft_wrap=True,
            )

        with_desk(DatabaseConfig.from_env(os.environ), approve)


def _wallets() -> None:
    """The wallets that send money."""


async def _show(desk: Desk) -> None:
    from counterfoil.desk import upkeep

    held = await upkeep.held_up(desk)
    table = Table(
        "move", "org", "what", "amount", "chain", "invoice", "stands since", "failed", "goes on"
    )
    for one in held:
        table.add_row(
            str(one.move_id),
            str(one.org_id),
            one.purpose,
            _amount(one),
            one.chain,
            ids.public("inv", one.invoice_id) if one.invoice_id else "",
            _age(one.age),
            str(one.failures),
            f"{one.wait_until:%Y-%m-%d %H:%M:%SZ}" if one.wait_until else "[red]parked[/]",
        )
    if held:
        show(table)
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
    on_their_way = await show_on_their_way(desk)
    if not held and not frozen and not on_their_way:
        out.print("nothing stands still")


async def show_on_their_way(desk: Desk) -> bool:
    """Show the nonces that are not settled, the holes first; answers whether there are any."""
    from counterfoil.desk import stuck

    found = sorted(await stuck.on_their_way(desk), key=lambda one: (not one.hole, -one.age))
    if not found:
        return False
    table = Table("chain", "org", "wallet", "nonce", "signed", "since", "what is wrong")
    for one in found:
        table.add_row(
            one.chain,
            str(one.org_id),
            str(one.role or one.wallet),
            str(one.nonce),
            "[red]lost[/]" if one.hole else f"{one.attempts} x",
            _age(one.age),
            one.reason,
        )
    show(table)
    return True


async def show_low_stations(desk: Desk) -> None:
    """Say which gas stations cannot fuel a wallet, and what to send them."""
    from counterfoil.desk import provisioning
    from counterfoil.desk.provisioning import FuelLevels

    levels = FuelLevels()
    short = await provisioning.low_stations(
        desk, low_wei=levels.low_wei, target_wei=levels.target_wei
    )
    for one in short:
        symbol = CHAINS[one.wallet.chain].native.symbol
        out.print(
            f"[red]gas station {one.gas_address} of organisation {one.wallet.org_id} on"
            f" {one.wallet.chain} has {format_units(one.has_wei, 18)} {symbol}; its"
            f" {one.wallet.role} wallet needs {format_units(one.needs_wei, 18)}: send some[/]",
            soft_wrap=True,
        )


def _amount(one: "Held") -> str:
    if one.asset is None:
        return f"{one.amount_units} base units"
    return f"{format_units(one.amount_units, one.asset.decimals)} {one.asset.symbol}"


def _age(age: timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"


def _chain(key: str, desk: Desk) -> "EvmChain":
    from counterfoil.chains.evm.chain import EvmChain

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
