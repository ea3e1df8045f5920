"""`Till`: a shop whose invoices are paid, signed for, and about to move their money."""

from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from typing import Final, Literal
from uuid import UUID

from counterfoil.books import cursors, ledger, moves, orgs, screening, transfers, wallets
from counterfoil.books.cursors import Mark
from counterfoil.books.moves import MoveRow
from counterfoil.books.orgs import Org
from counterfoil.books.screening import ScreeningRun
from counterfoil.books.transfers import TransferRow
from counterfoil.books.wallets import TxRow, WalletRole, WalletRow
from counterfoil.core.assets import CHAINS
from counterfoil.core.events import Release, Screened, SignOff
from counterfoil.core.invoice import DepositMode, Invoice, Screening, Status
from counterfoil.core.journal import DEPOSITED, JournalEntry, LedgerAccount, Posting
from counterfoil.core.money import Asset, Money
from counterfoil.core.reckoning import Depth
from counterfoil.core.roles import Actor, Permission, system
from counterfoil.db.rows import all_rows, execute
from counterfoil.desk import moving, provisioning, verdicts
from counterfoil.desk import screening as screening_desk
from counterfoil.desk.act import act, happen
from counterfoil.desk.moving import Batch, Reserved, SignedBytes, Terms
from counterfoil.desk.reach import held
from support.fake_clock import NOON
from support.invoices import CUSTOMER, DUE, OFFICERS, SIGNER, USDT
from support.shop import Shop

ETHER: Final = 10**18
TERMS: Final = Terms(gas_limit=100_000, max_fee_wei=10**9, tip_wei=10**6)

Verdict = Literal["clear", "manual_review", "aml_hold"]

_HASHES: Final = count(1)


def fresh_hash() -> str:
    """A transaction hash that nothing else in this test session has."""
    return f"0x{next(_HASHES):064x}"


async def quick_sign(_batch: Batch, nonce: int, _terms: Terms) -> SignedBytes:
    """A signer that signs everything, each time with other bytes."""
    tx_hash = fresh_hash()
    return SignedBytes(f"{nonce}:{tx_hash}".encode(), tx_hash)


@dataclass(frozen=True, slots=True)
class Books:
    """What the ledger says, in base units, of one asset."""

    deposit: int
    pool: int
    merchant: int
    payer: int


class Till(Shop):
    """A shop that has wallets with gas, and a factory that stands."""

    async def org(self) -> Org:
        async with self.desk.database.reading() as tx:
            found = await orgs.get(tx, self.org_id)
        assert found is not None
        return found

    async def ready(self, chain: str = "arb", gas_wei: int = ETHER) -> "Till":
        """Wallets known from nonce 0, gas booked, factory in place, watcher at block 100."""
        org = await self.org()
        ours = (org.operator_address, org.pool_address, org.hold_address, org.gas_address)
        nonces = dict.fromkeys(ours, 0)
        await provisioning.ensure_wallets(self.desk, org, chain, nonces)
        await provisioning.factory_stands(self.desk, org, chain)
        for role in ("operator", "pool", "gas"):
            await self.fund(role, gas_wei, chain)
        await self.watched_to(100, chain)
        return self

    async def fund(self, role: LedgerAccount, wei: int, chain: str = "arb") -> None:
        money = Money(wei, CHAINS[chain].native)
        await self._post(Posting("outside:funding", role, money), None, 1)

    async def watched_to(
        self, block: int, chain: str = "arb", block_hash: str = "0x" + "cc" * 32
    ) -> None:
        """Say that the watcher has booked everything up to a block."""
        async with self.desk.database.transaction() as tx:
            await cursors.insert(tx, chain, Mark(block, block_hash, NOON), NOON)
            await execute(
                tx,
                "UPDATE ingest.chain_cursor SET final_number = %(block)s, final_hash = %(hash)s"
                " WHERE chain = %(chain)s",
                {"chain": chain, "block": block, "hash": block_hash},
            )

    async def paid_bill(self, units: int = DUE, asset: Asset = USDT) -> Invoice:
        """An invoice that was paid, found clean and waits for the merchant."""
        bill = await self.bill(status=Status.SIGN_PENDING, assets=(asset,), due_units=units)
        await self.receive(bill, units, asset)
        await self.screened(bill)
        return bill

    async def receive(  # noqa: PLR0913 - what a test may care about, all with defaults
        self,
        bill: Invoice,
        units: int,
        asset: Asset = USDT,
        *,
        block: int = 50,
        payer: str = CUSTOMER,
        mode: DepositMode = "factory",
        depth: Depth = Depth.FINAL,
    ) -> None:
        """A transfer to the invoice, in the books as the watcher would write it."""
        row = TransferRow(
            org_id=bill.org_id,
            chain=asset.chain,
            tx_hash=fresh_hash(),
            log_index=0,
            invoice_id=bill.invoice_id,
            contract=asset.contract,
            from_address=payer,
            amount_units=units,
            block_number=block,
            block_hash="0x" + "bb" * 32,
            block_at=NOON,
            first_seen_at=NOON,
            depth=depth,
            deposit_mode=mode,
        )
        await self._receive(row)

    async def settles(self, bill: Invoice) -> None:
        """What came in for the invoice and was not final becomes final."""
        for row in await self.transfers(bill):
            if row.depth is not Depth.FINAL:
                await self._receive(replace(row, depth=Depth.FINAL))

    async def _receive(self, row: TransferRow) -> None:
        async with self.desk.database.transaction() as tx:
            await transfers.save(tx, [row])
        if row.depth is Depth.FINAL:
            money = Money(row.amount_units, transfers.asset_of(row))
            posting = Posting("outside:payer", DEPOSITED[row.deposit_mode], money)
            await self._post(posting, row.invoice_id, row.block_number)

    async def screened(self, bill: Invoice, decision: Verdict = "clear") -> UUID:
        """A screening of all that has come in, told to the invoice."""
        now = self.desk.clock.now()
        run = ScreeningRun(
            org_id=bill.org_id,
            run_id=self.desk.ids.new(),
            invoice_id=bill.invoice_id,
            decision=decision,
            total=Decimal(0),
            scores={},
            record={},
            created_at=now,
        )
        by = system("screen", bill.org_id)
        async with self.desk.database.transaction() as tx:
            await screening.add_runs(tx, [run])
            before = await held(tx, bill.org_id, bill.invoice_id)
            verdict = Screening(
                run_id=run.run_id,
                decision=decision,
                sanctioned=False,
                covers=before.tally.confirmed,
                payers=before.tally.payers,
            )
            event = Screened(at=now, by=by.uid, screening=verdict)
            await happen(self.desk, tx, before, event, by)
        return run.run_id

    async def stray_screened(self, bill: Invoice, decision: Verdict = "clear") -> None:
        """The same of what strayed in beside the payment and is to go back."""
        claim = next(
            found
            for found in await screening_desk.claim(self.desk, limit=99, lease_seconds=1)
            if found.invoice_id == bill.invoice_id
        )
        case = await screening_desk.case_of(self.desk, claim)
        assert case.is_stray
        finding = screening_desk.Finding(
            run_id=self.desk.ids.new(),
            decision=decision,
            sanctioned=False,
            total=Decimal(0),
            scores={},
            record={},
        )
        assert await verdicts.conclude(self.desk, case, finding)

    async def released(self, bill: Invoice) -> None:
        """Two officers let held money go on."""
        for officer in OFFICERS:
            by = Actor(officer, self.org_id, frozenset({Permission.REVIEW}))
            event = Release(at=self.desk.clock.now(), by=by.uid, reason="known customer")
            await act(self.desk, bill.org_id, bill.invoice_id, event, by)

    async def sign_off(self, bill: Invoice) -> Invoice:
        """The merchant signs for the money, which plans its way."""
        by = Actor(SIGNER, self.org_id, frozenset({Permission.SIGN}))
        event = SignOff(at=self.desk.clock.now(), by=by.uid)
        return await act(self.desk, bill.org_id, bill.invoice_id, event, by)

    async def signed_bill(self, units: int = DUE, asset: Asset = USDT) -> Invoice:
        """An invoice whose money may be swept."""
        return await self.sign_off(await self.paid_bill(units, asset))

    async def moves(self, bill: Invoice, purpose: str) -> list[MoveRow]:
        """The invoice's movements with a purpose, oldest first."""
        async with self.desk.database.reading() as tx:
            found = await moves.of_invoices(tx, bill.org_id, [bill.invoice_id])
        return [move for move in found if move.purpose == purpose]

    async def move(self, bill: Invoice, purpose: str) -> MoveRow:
        """The invoice's only movement with a purpose."""
        (found,) = await self.moves(bill, purpose)
        return found

    async def extra_payout(self, bill: Invoice, units: int) -> None:
        """A second payout that no lifecycle would plan: a bug, or a hand in the database."""
        first = await self.move(bill, "payout")
        async with self.desk.database.transaction() as tx:
            await moves.plan(
                tx,
                [
                    moves.NewMove(
                        org_id=bill.org_id,
                        move_id=self.desk.ids.new(),
                        purpose="payout",
                        source_id=first.source_id,
                        leg=99,
                        invoice_id=bill.invoice_id,
                        chain=first.chain,
                        contract=first.contract,
                        destination=first.destination,
                        amount_units=units,
                        status="ready",
                        approved_by=first.approved_by,
                        approved_at=first.approved_at,
                        warrant=first.warrant,
                        created_at=first.created_at,
                    )
                ],
            )

    async def wallet(self, role: WalletRole, chain: str = "arb") -> WalletRow:
        found = await moving.wallets_of(self.desk, chain)
        return next(w for w in found if (w.org_id, w.role) == (self.org_id, role))

    async def batch(self, role: WalletRole = "operator") -> Batch:
        """What the wallet would do next; there must be something."""
        found = await moving.next_batch(self.desk, await self.wallet(role))
        assert found is not None
        return found

    async def txs(self, chain: str = "arb") -> list[TxRow]:
        """Every transaction ever signed, by wallet and nonce."""
        async with self.desk.database.reading() as tx:
            return await all_rows(
                tx,
                TxRow,
                "SELECT chain, wallet, nonce, attempt, tx_hash, raw, gas_limit, max_fee_wei,"
                " tip_wei, cancels, status, signed_at, sent_at, send_error, block_number, fee_wei,"
                " gone_at_block, bump_error, bump_after FROM ingest.chain_tx"
                " WHERE chain = %(chain)s ORDER BY wallet, nonce, attempt",
                {"chain": chain},
            )

    async def holds(self, role: LedgerAccount, asset: Asset | None = None) -> int:
        """An account's balance; of the native coin where no asset is named."""
        contract = asset.contract if asset else ""
        async with self.desk.database.reading() as tx:
            return await ledger.balance(tx, self.org_id, role, "arb", contract)

    async def books(self, asset: Asset = USDT) -> Books:
        return Books(
            deposit=await self.holds("deposit", asset),
            pool=await self.holds("pool", asset),
            merchant=await self.holds("outside:merchant", asset),
            payer=await self.holds("outside:payer", asset),
        )

    async def put(self, bill: Invoice, status: Status) -> None:
        """Put an invoice into a status by hand, as another process would have done."""
        async with self.desk.database.transaction() as tx:
            await execute(
                tx,
                "UPDATE invoice SET status = %(status)s WHERE invoice_id = %(invoice_id)s",
                {"status": status.value, "invoice_id": bill.invoice_id},
            )

    async def freeze(self, role: WalletRole, reason: str) -> None:
        wallet = await self.wallet(role)
        async with self.desk.database.transaction() as tx:
            await wallets.freeze(tx, wallet.chain, wallet.address, reason)

    async def booked(self, posting: Posting, block: int = 50) -> None:
        """Book something that no invoice asked for."""
        await self._post(posting, None, block)

    async def _post(self, posting: Posting, invoice_id: UUID | None, block: int) -> None:
        entry = JournalEntry(f"test:{fresh_hash()}", invoice_id, (posting,), NOON, block)
        async with self.desk.database.transaction() as tx:
            await ledger.post(tx, self.org_id, entry)


def with_role(batch: Batch, role: WalletRole) -> Batch:
    """The same batch, claimed by another wallet."""
    return replace(batch, wallet=replace(batch.wallet, role=role))


async def reserve(till: Till, role: WalletRole = "operator") -> Reserved:
    """Have a wallet's next batch signed."""
    return await moving.reserve(till.desk, await till.batch(role), TERMS, quick_sign)
