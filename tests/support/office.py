"""An organisation with its desk, its invoices and its payments, written straight into the books.

For tests of what happens after all that: telling, screening, pricing.
"""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from counterfoil.books import orgs, outbox, transfers
from counterfoil.clock import TimeSortedIds
from counterfoil.core.events import TransferConfirmed, TransferDropped, TransferSeen
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.money import Asset
from counterfoil.core.reckoning import Depth, tally
from counterfoil.core.roles import Actor, Permission, system
from counterfoil.core.tally import Tally
from counterfoil.db.pool import Database, Tx
from counterfoil.desk.act import happen
from counterfoil.desk.desk import Desk
from counterfoil.desk.reach import held
from counterfoil.desk.record import opened
from counterfoil.desk.snapshot import snapshot
from support.fake_clock import FakeClock
from support.invoices import CUSTOMER, DUE, NOON, USDT, invoice

WALLET = "0x" + "a1" * 20
FINANCE = Actor(
    uid="user_finance",
    org_id=1,
    permissions=frozenset({Permission.CREATE, Permission.READ}),
)


class Office:
    """Organisation 1 unless said otherwise; ``clock`` is the desk's own."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.clock = clock
        self.desk = Desk(database, clock, TimeSortedIds(), addresses={})

    async def opens(self, org_id: int = 1, **screening: object) -> None:
        """Found an organisation, with this screening policy."""
        org = orgs.Org(
            org_id=org_id,
            name=f"Merchant {org_id}",
            client_id=f"client_{org_id}",
            factory_address=WALLET,
            operator_address=WALLET,
            pool_address=WALLET,
            hold_address=WALLET,
            gas_address=WALLET,
            policy=orgs.OrgPolicy(screening=screening),
            callback_secret_version=1,
        )
        async with self.desk.database.transaction() as tx:
            await orgs.insert(tx, org, self.clock.now())

    async def tells(  # noqa: PLR0913 - what a story may vary
        self,
        url: str,
        *,
        org_id: int = 1,
        invoice_id: UUID | None = None,
        sequence: int = 2,
        change: tuple[Status, Status] = (Status.APPROVAL_PENDING, Status.AWAITING_PAYMENT),
        context: Context | None = None,
        **changes: object,
    ) -> UUID:
        """Leave an event for the notifier; answers its id."""
        before, after = change
        told = invoice(
            after,
            org_id=org_id,
            invoice_id=invoice_id or self.desk.ids.new(),
            callback_url=url,
            version=sequence,
            **changes,
        )
        event_id = self.desk.ids.new()
        async with self.desk.database.transaction() as tx:
            await outbox.add_all(
                tx,
                [
                    outbox.NewOutboxEvent(
                        org_id=org_id,
                        event_id=event_id,
                        invoice_id=told.invoice_id,
                        sequence=sequence,
                        dialect="kryptogo",
                        url=url,
                        from_status=before,
                        to_status=after,
                        from_context=None,
                        to_context=context,
                        snapshot=snapshot(told, [], []),
                        status="pending",
                        due_at=self.clock.now(),
                        created_at=self.clock.now(),
                    )
                ],
            )
        return event_id

    async def issues(self, number: int = 42, **changes: object) -> Invoice:
        """Store an approved invoice over 100 USDT on Arbitrum."""
        payable = invoice(
            Status.AWAITING_PAYMENT,
            invoice_id=self.desk.ids.new(),
            number=number,
            **{"approved_by": "user_checker", "approved_at": NOON, **changes},
        )
        async with self.desk.database.transaction() as tx:
            return await opened(self.desk, tx, payable, FINANCE)

    async def is_paid(  # noqa: PLR0913 - what a story may vary
        self,
        bill: Invoice,
        payer: str = CUSTOMER,
        units: int = DUE,
        *,
        asset: Asset = USDT,
        depth: Depth = Depth.FINAL,
        at: datetime | None = None,
    ) -> Invoice:
        """Have a transfer arrive and be noticed, as deep as said."""
        at = at or self.clock.now()
        row = transfers.TransferRow(
            org_id=bill.org_id,
            chain=asset.chain,
            tx_hash=f"0x{self.desk.ids.new().hex:0>64}",
            log_index=0,
            invoice_id=bill.invoice_id,
            contract=asset.contract,
            from_address=payer,
            amount_units=units,
            block_number=100,
            block_hash="0x" + "b1" * 32,
            block_at=at,
            first_seen_at=at,
            depth=depth,
        )
        by = system("watch", bill.org_id)
        async with self.desk.database.transaction() as tx:
            before = await held(tx, bill.org_id, bill.invoice_id)
            await transfers.save(tx, [row])
            kind = TransferSeen if depth is Depth.SEEN else TransferConfirmed
            event = kind(at=at, by=by.uid, tally=await _tally(tx, before))
            return await happen(self.desk, tx, before, event, by)

    async def loses(self, bill: Invoice) -> Invoice:
        """Have everything that arrived reorganised away, and be noticed."""
        by = system("watch", bill.org_id)
        async with self.desk.database.transaction() as tx:
            before = await held(tx, bill.org_id, bill.invoice_id)
            rows = await transfers.of_invoices(tx, bill.org_id, [bill.invoice_id])
            await transfers.save(tx, [replace(row, depth=Depth.ORPHANED) for row in rows])
            at = self.clock.now()
            event = TransferDropped(at=at, by=by.uid, tally=await _tally(tx, before))
            return await happen(self.desk, tx, before, event, by)

    async def invoice(self, bill: Invoice) -> Invoice:
        """The invoice as it stands now."""
        async with self.desk.database.transaction() as tx:
            return await held(tx, bill.org_id, bill.invoice_id)


async def _tally(tx: Tx, bill: Invoice) -> Tally:
    rows = await transfers.of_invoices(tx, bill.org_id, [bill.invoice_id])
    return tally(bill.requests, map(transfers.received, rows), bill.policy)


def officer_of(org_id: int) -> Actor:
    """Somebody of another organisation with the same permissions."""
    return replace(FINANCE, org_id=org_id)
