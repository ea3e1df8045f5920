"""Commands about watching: how far each chain is read, and what of it needs a person."""

import os
from collections.abc import Iterator, Mapping, Sequence

import typer
from rich.markup import escape
from rich.table import Table

from counterfoil import cli_moves
from counterfoil.cli_shared import out, show, with_desk
from counterfoil.config import ConfigError, DatabaseConfig, read_chains
from counterfoil.core import ids
from counterfoil.core.assets import known_asset
from counterfoil.core.money import format_units
from counterfoil.desk import changed_tokens, comparing, doubting, watching
from counterfoil.desk.changed_tokens import Change
from counterfoil.desk.comparing import Unexplained
from counterfoil.desk.desk import Desk
from counterfoil.desk.doubting import Doubt
from counterfoil.desk.watching import ChainPosition


def add_to(cli: typer.Typer) -> None:
    """Put these commands beside the others."""
    cli.command()(status)


def status() -> None:
    """Show how far each chain is watched; status 1 when one is not, or needs a person.

    Then what of ours is on its way out, and gas stations that are too low.
    """
    nodes = _nodes(os.environ)

    async def look(desk: Desk) -> int:
        positions = await watching.positions(desk)
        doubted = await doubting.doubted(desk)
        unexplained = await comparing.every(desk)
        changed = await changed_tokens.every(desk)
        table = Table("chain", "head", "its age", "safe", "final", "its age", "watched", "nodes")
        for at in positions:
            table.add_row(
                at.chain,
                str(at.head_number),
                f"{at.head_age_seconds:.0f} s",
                str(at.safe_number),
                str(at.final_number),
                f"{at.final_age_seconds:.0f} s",
                "[green]yes[/]" if at.watched else "[red]no[/]",
                str(nodes.get(at.chain, "unknown")),
            )
        show(table)
        await cli_moves.show_on_their_way(desk)
        await cli_moves.show_low_stations(desk)
        troubles = list(needing_a_person(positions, doubted, unexplained, changed))
        for sentence in troubles:
            out.print(f"[red]{escape(sentence)}[/]", soft_wrap=True)
        for key in (key for key, count in nodes.items() if count == 1):
            out.print(f"{key} has one node: large payments are confirmed on its word alone")
        return 0 if positions and all(at.watched for at in positions) and not troubles else 1

    raise typer.Exit(with_desk(DatabaseConfig.from_env(os.environ), look))


def needing_a_person(
    positions: Sequence[ChainPosition],
    doubted: Sequence[Doubt],
    unexplained: Sequence[Unexplained] = (),
    changed: Sequence[Change] = (),
) -> Iterator[str]:
    """One sentence for each thing that a person must look at.

    A chain that stands still, a payment that nodes dispute, money that no list of transfers told,
    a token that was changed.
    """
    for at in positions:
        if at.halted_reason is not None:
            yield f"stands still: {at.halted_reason}"
        if at.lacking is not None:
            yield f"{at.chain}: {at.lacking}"
    for doubt in doubted:
        amount = _amount(doubt.chain, doubt.contract, doubt.amount_units)
        yield (
            f"not confirmed: {amount} for {ids.public('inv', doubt.invoice_id)} of organisation"
            f" {doubt.org_id}, {doubt.tx_hash} in block {doubt.block_number} of {doubt.chain},"
            f" since {doubt.since:%Y-%m-%d %H:%M} UTC: {doubt.reason}"
        )

    for one in unexplained:
        more = _amount(one.chain, one.contract, one.chain_units - one.known_units)
        yield (
            f"not on record: {more} at {one.address} of {ids.public('inv', one.invoice_id)} of"
            f" organisation {one.org_id} on {one.chain}, since {one.since:%Y-%m-%d %H:%M} UTC: its"
            " balance shows it and no node lists it; the invoice does not expire meanwhile, and its"
            " money is not swept; counterfoil balance dismiss lets it go on"
        )
    for one_changed in changed:
        asset, behind = one_changed.asset, ", ".join(one_changed.behind) or "nothing behind it"
        yield (
            f"changed: {asset.symbol} on {asset.chain} ({asset.contract}) runs something else since"
            f" {one_changed.seen_at:%Y-%m-%d %H:%M} UTC, with {behind}; payments in it wait until"
            " a signer of each organisation has looked at it, in Studio"
        )


def _amount(chain: str, contract: str, units: int) -> str:
    asset = known_asset(chain, contract)
    if asset is None:
        return f"{units} base units of {contract}"
    return f"{format_units(units, asset.decimals)} {asset.symbol}"


def _nodes(environ: Mapping[str, str]) -> Mapping[str, int]:
    """How many nodes each chain has; nothing where they are not set in this terminal."""
    try:
        return {key: len(chain.endpoints) for key, chain in read_chains(environ).items()}
    except ConfigError:
        return {}
