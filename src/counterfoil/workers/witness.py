"""Who vouches for a payment: large ones count only when two nodes agree on block and log."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

from counterfoil.chains.port import Attestation, Chain, ChainUnreachable, Receipt, Transfer
from counterfoil.core.assets import ETHER_DOLLARS, TOP_LEVEL, known_asset
from counterfoil.desk import doubting
from counterfoil.desk.desk import Desk
from counterfoil.desk.doubting import Beside
from counterfoil.desk.watching import Lease, Recorded, Sighting, TransferRow

ENOUGH: Final = 2

TWO_NODES_FROM_DOLLARS: Final = 10_000

Verdict = Literal["stands", "gone", "doubted"]


@dataclass(frozen=True, slots=True)
class Weighed:
    """What the nodes make of one transfer; the reason is for people."""

    verdict: Verdict
    reason: str


def large(found: Iterable[Transfer], beside: Sequence[Beside], from_dollars: int) -> list[Transfer]:
    """Transfers to invoices that get this much or more, with all that they have ``beside`` these.

    A stablecoin counts as a dollar, as it does in `core.reckoning`. They are added up, whenever
    and wherever they came, so that a large payment is not many small ones, and one node's word is
    never good for more than this per invoice. Native coin is left out, here and ``beside``: it
    writes no log to agree on, and balances prove it, in `workers.native`.
    """
    found = [one for one in found if one.contract]
    invoices = {one.address: (one.org_id, one.invoice_id) for one in beside}
    whose = [invoices.get(one.to_address, one.to_address) for one in found]
    # An invoice that was paid at two of its addresses is beside both.
    before = {(one.org_id, one.invoice_id, one.chain, one.contract): one.units for one in beside}
    sums: defaultdict[object, Fraction] = defaultdict(Fraction)
    for (org_id, invoice_id, chain, contract), units in before.items():
        if chain and contract and units:
            sums[org_id, invoice_id] += dollars(chain, contract, units)
    for one, payee in zip(found, whose, strict=True):
        sums[payee] += dollars(one.chain, one.contract, one.amount_units)
    return [one for one, payee in zip(found, whose, strict=True) if sums[payee] >= from_dollars]


async def doubted(
    desk: Desk,
    chain: Chain,
    sightings: Sequence[Sighting],
    vouched: Sequence[TransferRow],
    from_dollars: int,
) -> dict[tuple[str, int], str]:
    """Which large transfers two nodes do not agree on, by credit key, and what each node says.

    What all of them deny is among them: it is dropped only once it is on record.
    """
    found = [_seen(chain.key, sighting) for sighting in sightings]
    found += await _kept(desk, vouched)
    some = large(found, await _beside(desk, chain.key, found), from_dollars)
    told = await weighed(chain, some)
    return {
        (one.tx_hash, one.log_index): what.reason
        for one, what in zip(some, told, strict=True)
        if what.verdict != "stands"
    }


@dataclass(frozen=True, slots=True)
class OneStory:
    """A list of transfers without those that another node told otherwise, unless two agree.

    ``kept`` are the transfers as they are on record, which stand instead, and ``reasons`` say why
    some of these are doubted, by credit key.
    """

    sightings: list[Sighting]
    kept: list[TransferRow]
    reasons: dict[tuple[str, int], str]


async def one_story(
    desk: Desk, chain: Chain, sightings: Sequence[Sighting], on_record: Sequence[TransferRow]
) -> OneStory:
    """Settle what one node listed before and another lists now with other content, at any size.

    The same log of the same block cannot say two things, so one of them lies or errs: neither is
    believed on its own word.
    """
    listed = {seen.key: seen for seen in sightings}
    same = [row for row in on_record if row.contract and row.key in listed]
    told = [_seen(chain.key, listed[row.key]) for row in same]
    pairs = [
        (row, before, now)
        for row, before, now in zip(same, await _kept(desk, same), told, strict=True)
        if before.block_hash == now.block_hash and before != now
    ]
    kept, reasons = [], {}
    for row, before, now in pairs:
        new, old = await weighed(chain, [now, before])
        if new.verdict == "stands" and old.verdict != "stands":
            continue
        kept.append(row)
        if old.verdict != "stands":
            reasons[row.key] = (
                f"one list has {before.amount_units} base units to {before.to_address}, another"
                f" {now.amount_units} to {now.to_address}; {old.reason or 'all deny the first'}"
            )
    aside = {row.key for row in kept}
    return OneStory([seen for seen in sightings if seen.key not in aside], kept, reasons)


async def one_content(chain: Chain, transfers: Iterable[Transfer]) -> list[Transfer]:
    """Of what two lists tell differently about the same log, what two nodes confirm, or nothing.

    What is left out is missing from the books, so the balance shows it to people.
    """
    contents: defaultdict[tuple[str, int], list[Transfer]] = defaultdict(list)
    for one in transfers:
        told = replace(one, block_at=None)
        if told not in contents[one.tx_hash, one.log_index]:
            contents[one.tx_hash, one.log_index].append(told)
    agreed = [found for found in contents.values() if len(found) == 1]
    for found in contents.values():
        weights = await weighed(chain, found) if len(found) > 1 else []
        standing = [f for f, what in zip(found, weights, strict=False) if what.verdict == "stands"]
        agreed += [standing] if len(standing) == 1 else []
    return [one for found in agreed for one in found]


async def ask_again(desk: Desk, chain: Chain, lease: Lease, final_number: int) -> Recorded:
    """Settle or drop what nodes agree on by now, of all that waits below the final cursor.

    Raises `counterfoil.desk.watching.LeaseLost`.
    """
    rows = await doubting.open_rows(desk, chain.key, final_number)
    if not rows:
        return Recorded()
    told = await weighed(chain, await _kept(desk, rows))
    pairs = list(zip(rows, told, strict=True))
    return await doubting.resolve(
        desk,
        lease,
        stand=[row for row, what in pairs if what.verdict == "stands"],
        gone=[row for row, what in pairs if what.verdict == "gone"],
        still=[(row, what.reason) for row, what in pairs if what.verdict == "doubted"],
    )


async def weighed(chain: Chain, transfers: Sequence[Transfer]) -> list[Weighed]:
    """Ask all nodes about each, and say what follows, in the same order.

    Where only one node is configured its word is enough: there is no other.
    """
    if not transfers:
        return []
    return [_weighed(told) for told in await chain.attestations(transfers)]


def _weighed(told: Attestation) -> Weighed:
    if confirmed(told):
        return Weighed("stands", "")
    if confirmed(Attestation(told.denies, told.confirms, told.silent)):
        return Weighed("gone", "")
    return Weighed("doubted", sentence(told))


def confirmed(told: Attestation, *, everybody: bool = False) -> bool:
    """Whether two nodes say so, or ``everybody`` who was asked, and none denies it.

    Where only one node is configured its word is enough: there is no other.
    """
    asked = len(told.confirms) + len(told.denies) + len(told.silent)
    enough = asked if everybody else min(ENOUGH, asked)
    return len(told.confirms) >= enough and not told.denies


def sentence(told: Attestation) -> str:
    """What each node says, for people."""
    parts = [
        f"{', '.join(names)} {says}"
        for names, says in (
            (told.confirms, "confirms it"),
            (told.denies, "denies it"),
            (told.silent, "gives no answer"),
        )
        if names
    ]
    return "; ".join(parts)


def dollars(chain: str, contract: str, units: int) -> Fraction:
    """What caution takes an amount for: a stablecoin is a dollar, an ether what the signer says.

    Nothing where the registry does not know the asset.
    """
    asset = known_asset(chain, contract)
    if asset is None:
        return Fraction(0)
    return Fraction(units * (ETHER_DOLLARS if asset.is_native else 1), 10**asset.decimals)


async def _beside(desk: Desk, chain: str, found: Sequence[Transfer]) -> list[Beside]:
    tokens = [one for one in found if one.contract]
    if not tokens:
        return []
    addresses = {one.to_address for one in tokens}
    keys = [(one.tx_hash, one.log_index) for one in tokens]
    return await doubting.beside(desk, chain, addresses, keys)


def _seen(chain: str, sighting: Sighting) -> Transfer:
    return Transfer(
        chain=chain,
        tx_hash=sighting.tx_hash,
        log_index=sighting.log_index,
        block_number=sighting.block_number,
        block_hash=sighting.block_hash,
        contract=sighting.contract,
        from_address=sighting.from_address,
        to_address=sighting.to_address,
        amount_units=sighting.amount_units,
    )


async def _kept(desk: Desk, rows: Sequence[TransferRow]) -> list[Transfer]:
    """Transfers on record as the chain would tell them."""
    paid_to = await doubting.paid_to(desk, rows) if rows else {}
    return [
        Transfer(
            chain=row.chain,
            tx_hash=row.tx_hash,
            log_index=row.log_index,
            block_number=row.block_number,
            block_hash=row.block_hash,
            contract=row.contract,
            from_address=row.from_address,
            to_address=paid_to[row.key],
            amount_units=row.amount_units,
        )
        for row in rows
    ]


def shows(receipt: Receipt, row: TransferRow) -> bool:
    """Whether a receipt proves a transfer in its block; success does where the transaction paid."""
    if not receipt.ok or receipt.block_hash != row.block_hash:
        return False
    if not row.contract:
        return row.log_index == TOP_LEVEL
    return any((g.log_index, g.contract) == (row.log_index, row.contract) for g in receipt.logs)


async def is_final(chain: Chain, receipt: Receipt) -> bool:
    """Whether a node to which its block is final shows a receipt.

    One that hears of nothing any more shows receipts of a branch that leads nowhere. Raises
    `ChainUnreachable` where every node is silent, as nothing is known then.
    """
    (told,) = await chain.receipt_attestations([receipt])
    if not told.confirms and not told.denies:
        msg = f"{chain.key}: no node says whether {receipt.tx_hash} is final"
        raise ChainUnreachable(msg)
    return bool(told.confirms)
