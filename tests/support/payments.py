"""`Payments`: money that comes in for an invoice of the API, and where it goes, without a chain."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from counterfoil.books import ledger, moves, screening, transfers
from counterfoil.books.moves import MoveRow
from counterfoil.core import ids
from counterfoil.core.assets import known_asset
from counterfoil.core.events import (
    Event,
    PaidOut,
    RefundSettled,
    Screened,
    Swept,
    TransferConfirmed,
)
from counterfoil.core.invoice import Invoice, Screening
from counterfoil.core.journal import JournalEntry, LedgerAccount, Posting
from counterfoil.core.money import Asset, Money
from counterfoil.core.reckoning import Depth, tally
from counterfoil.core.risk import assess
from counterfoil.core.risk_facts import Factors, Hit, Subject
from counterfoil.core.risk_rules import Policy
from counterfoil.core.roles import system
from counterfoil.core.settlement import Settlement
from counterfoil.db.pool import Tx
from counterfoil.db.rows import execute
from counterfoil.desk import moving
from counterfoil.desk.act import happen
from counterfoil.desk.desk import Desk
from counterfoil.desk.reach import held
from support.actors import Answer
from support.invoices import CUSTOMER, USDT
from support.site import Firm
from support.till import fresh_hash

_ROUTES: Final[Mapping[str, tuple[LedgerAccount, LedgerAccount]]] = {
    "sweep": ("deposit", "pool"),
    "payout": ("pool", "outside:merchant"),
    "refund": ("pool", "outside:payer"),
    "partial_refund": ("pool", "outside:payer"),
}


CUSTOMER_WALLET: Final = CUSTOMER
"""Where money goes back to: the address it came from."""
PDF: Final = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"


async def order_refund(
    firm: Firm,
    invoice_id: str,
    changes: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """A signer asks for everything to be sent back, or for what ``changes`` say."""
    receipt = await firm.signer.upload(PDF)
    body = {
        "refund_address": CUSTOMER_WALLET,
        "refund_reason": "Customer requested refund",
        "refund_attachments": [receipt.data["file_id"]],
        **(changes or {}),
    }
    return await firm.signer.act("refund", invoice_id, body, headers)


class Payments:
    """Tells the desk what the watcher, the screener and the mover would tell it."""

    def __init__(self, desk: Desk, org_id: int = 1) -> None:
        self.desk = desk
        self.org_id = org_id

    async def arrives_unexplained(self, invoice_id: str, asset: Asset) -> str:
        """All that is due comes in native coin from nowhere; answers what stands for its hash."""
        address = (await self.look(invoice_id)).deposit_address
        name = transfers.unknown_hash(100, address)
        await self.arrives(invoice_id, asset=asset, payer=transfers.NOBODY, tx_hash=name)
        return name

    async def arrives(  # noqa: PLR0913 - what a story may vary
        self,
        invoice_id: str,
        *,
        percent: int = 100,
        units: int | None = None,
        payer: str = CUSTOMER,
        asset: Asset = USDT,
        depth: Depth = Depth.FINAL,
        at: datetime | None = None,
        tx_hash: str = "",
    ) -> None:
        """A share of what is due comes in one transfer, or so many units of any asset."""
        invoice = await self.look(invoice_id)
        if units is None:
            units = next(r.due_units for r in invoice.requests if r.asset == asset) * percent // 100
        at = at or self.desk.clock.now()
        row = transfers.TransferRow(
            org_id=self.org_id,
            chain=asset.chain,
            tx_hash=tx_hash or fresh_hash(),
            log_index=0,
            invoice_id=invoice.invoice_id,
            contract=asset.contract,
            from_address=payer,
            amount_units=units,
            block_number=100,
            block_hash="0x" + "b1" * 32,
            block_at=at,
            first_seen_at=at,
            depth=depth,
        )
        async with self.desk.database.transaction() as tx:
            before = await held(tx, self.org_id, invoice.invoice_id)
            await transfers.save(tx, [row])
            rows = await transfers.of_invoices(tx, self.org_id, [invoice.invoice_id])
            total = tally(before.requests, map(transfers.received, rows), before.policy)
            by = system("watch", self.org_id)
            event = TransferConfirmed(at=at, by=by.uid, tally=total)
            await happen(self.desk, tx, before, event, by)

    async def screened(
        self,
        invoice_id: str,
        decision: Literal["clear", "manual_review", "aml_hold"] = "clear",
        *,
        sanctioned: bool = False,
    ) -> None:
        """The money that is there has been looked at."""
        invoice = await self.look(invoice_id)
        verdict = Screening(
            run_id=self.desk.ids.new(),
            decision=decision,
            sanctioned=sanctioned,
            covers=invoice.tally.confirmed,
            payers=invoice.tally.payers,
        )
        await self.happens(
            invoice_id, Screened(at=self.desk.clock.now(), by="system:screen", screening=verdict)
        )

    async def explained(self, invoice_id: str, factors: Factors) -> None:
        """A screening of these factors is on record, as a worker would leave it."""
        found = assess(factors, Policy(version=1))
        run = screening.ScreeningRun(
            org_id=self.org_id,
            run_id=self.desk.ids.new(),
            invoice_id=_id(invoice_id),
            decision=found.decision.value,
            total=found.total,
            scores=found.scores(),
            record=found.record(),
            created_at=self.desk.clock.now(),
        )
        async with self.desk.database.transaction() as tx:
            await screening.add_runs(tx, [run])

    async def listed(self, invoice_id: str, entry_uid: str, name: str) -> None:
        """Who paid stands on a list, under this name: the money is held."""
        hit = Hit("OFAC_SDN", "exact_address", "ETH", "idList", entry_uid, (name,))
        factors = Factors(
            run_id="scr_1",
            stage="payment_confirmed",
            subject=Subject("address", CUSTOMER, "arb", "evm"),
            evaluated_at=self.desk.clock.now(),
            amount_twd=None,
            hits=(hit,),
        )
        await self.screened(invoice_id, "aml_hold", sanctioned=True)
        await self.explained(invoice_id, factors)

    async def paid(
        self, invoice_id: str, *, percent: int = 100, at: datetime | None = None
    ) -> None:
        """Clean money is there, final."""
        await self.arrives(invoice_id, percent=percent, at=at)
        await self.screened(invoice_id)

    async def booked(self, invoice_id: str, asset: Asset = USDT) -> None:
        """The ledger has at the deposit address what is due."""
        invoice = await self.look(invoice_id)
        due_units = next(r.due_units for r in invoice.requests if r.asset == asset)
        posting = Posting("outside:payer", "deposit", Money(due_units, asset))
        at = self.desk.clock.now()
        entry = JournalEntry(f"test:{fresh_hash()}", invoice.invoice_id, (posting,), at, 100)
        async with self.desk.database.transaction() as tx:
            await ledger.post(tx, self.org_id, entry)

    async def kept_by_token(self, invoice_id: str, units: int, asset: Asset = USDT) -> None:
        """So much of what was swept never came to the pool: the token took a fee."""
        posting = Posting("pool", "outside:token", Money(units, asset))
        at = self.desk.clock.now()
        entry = JournalEntry(f"test:{fresh_hash()}", _id(invoice_id), (posting,), at, 100)
        async with self.desk.database.transaction() as tx:
            await ledger.post(tx, self.org_id, entry)

    async def parked(self, invoice_id: str, reason: str, purpose: str = "payout") -> None:
        """Its payouts, or what else leaves, stand still for a person to look at."""
        async with self.desk.database.reading() as tx:
            planned = await moves.of_invoices(tx, self.org_id, [_id(invoice_id)])
        some = {move.move_id: reason for move in planned if move.purpose == purpose}
        await moving.park(self.desk, self.org_id, some)

    async def swept(self, invoice_id: str, *, more_to_move: bool) -> None:
        """All that was at the deposit address is in the pool."""
        settled, at = await self._final(invoice_id, "sweep"), self.desk.clock.now()
        told = Swept(at=at, by="system:move", settled=settled, more_to_move=more_to_move)
        await self.happens(invoice_id, told)

    async def paid_out(self, invoice_id: str) -> None:
        """The merchant has the money, and whoever paid too much the surplus."""
        settled = await self._final(invoice_id, "payout", "partial_refund")
        at = self.desk.clock.now()
        await self.happens(invoice_id, PaidOut(at=at, by="system:move", settled=settled))

    async def refund_settled(self, invoice_id: str) -> None:
        """The customer has the money back."""
        settled = await self._final(invoice_id, "refund", "partial_refund")
        at = self.desk.clock.now()
        await self.happens(invoice_id, RefundSettled(at=at, by="system:move", settled=settled))

    async def refunded(self, invoice_id: str, *, sweeps: bool = True) -> None:
        """An approved refund goes its whole way."""
        if sweeps:
            await self.swept(invoice_id, more_to_move=True)
        await self.refund_settled(invoice_id)

    async def moves(self, invoice_id: str) -> list[tuple[str, str, int]]:
        """Purpose, destination and amount of every movement that was planned."""
        async with self.desk.database.reading() as tx:
            rows = await moves.of_invoices(tx, self.org_id, [_id(invoice_id)])
        order = ["sweep", "payout", "refund", "partial_refund"]
        rows.sort(key=lambda row: (row.created_at, order.index(row.purpose), row.leg))
        return [(row.purpose, row.destination, row.amount_units) for row in rows]

    async def lists(self, address: str, list_code: str = "OFAC_SDN") -> None:
        """A sanctions list names an address from now on."""
        row = screening.ListedRow(list_code, "evm", address, "1", "ETH", "test", [], [])
        now = self.desk.clock.now()
        known = screening.ListRow(list_code, now.date(), now, "", 1, 1, 1, "test")
        async with self.desk.database.transaction() as tx:
            await screening.put_list(tx, known)
            await screening.put_on_list(tx, [row], 1)

    async def look(self, invoice_id: str) -> Invoice:
        """The invoice behind its public id, as it is now."""
        async with self.desk.database.transaction() as tx:
            return await held(tx, self.org_id, _id(invoice_id))

    async def forged(self, invoice_id: str, path: tuple[str, ...], value: str) -> None:
        """Somebody with a hand in the database changes a stored detail to this JSON."""
        async with self.desk.database.transaction() as tx:
            await execute(
                tx,
                "UPDATE invoice SET detail = jsonb_set(detail, %(path)s::text[], %(value)s::jsonb)"
                " WHERE invoice_id = %(invoice_id)s",
                {"path": list(path), "value": value, "invoice_id": _id(invoice_id)},
            )

    async def happens(self, invoice_id: str, event: Event) -> None:
        """A worker tells the invoice of something."""
        by = system(event.by.removeprefix("system:"), self.org_id)
        async with self.desk.database.transaction() as tx:
            before = await held(tx, self.org_id, _id(invoice_id))
            await happen(self.desk, tx, before, event, by)

    async def _final(self, invoice_id: str, *purposes: str) -> Settlement:
        """Have movements end well, in the books as well; answers what became of the money."""
        asked, ids_ = _id(invoice_id), [_id(invoice_id)]
        async with self.desk.database.transaction() as tx:
            for move in await moves.of_invoices(tx, self.org_id, ids_):
                if move.purpose in purposes and move.status not in {"final", "failed"}:
                    await self._book(tx, move)
            await execute(
                tx,
                "UPDATE move SET status = 'final', moved_units = amount_units,"
                " final_at = created_at,"
                " tx_hash = coalesce(tx_hash, '0x' || repeat(md5(move_id::text), 2))"
                " WHERE invoice_id = %(invoice_id)s AND purpose = ANY(%(purposes)s)"
                " AND status <> 'failed'",
                {"invoice_id": asked, "purposes": list(purposes)},
            )
            return (await ledger.settlements(tx, self.org_id, ids_)).get(asked, Settlement())

    async def _book(self, tx: Tx, move: MoveRow) -> None:
        source, destination = _ROUTES[move.purpose]
        asset = known_asset(move.chain, move.contract)
        assert asset is not None
        posting = Posting(source, destination, Money(move.amount_units, asset))
        at = self.desk.clock.now()
        entry = JournalEntry(f"move:{move.move_id}", move.invoice_id, (posting,), at, 100)
        await ledger.post(tx, self.org_id, entry)


def _id(invoice_id: str) -> UUID:
    found = ids.parse("inv", invoice_id)
    assert found is not None
    return found
