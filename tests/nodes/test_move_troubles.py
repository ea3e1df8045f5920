"""What goes wrong with one chain, wallet, organisation or movement keeps no other waiting."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from counterfoil.chains.port import At, Block, Fees
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.invoice import Invoice, Status
from counterfoil.desk import moving, stuck, upkeep
from counterfoil.signer.client import SignerClient
from counterfoil.signer.orders import Order, Signed, TxTerms, WalletAddresses
from counterfoil.signer.refusals import SignerRefused
from counterfoil.signer.wire import Code
from counterfoil.workers.move import MoveWorker
from counterfoil.workers.reconcile import reconcile
from support.fake_chain import FakeChain
from support.fake_clock import NOON, FakeClock
from support.house import House
from support.invoices import DUE, MERCHANT_ADDRESS, USDC, USDT
from support.till import ETHER

SECOND = timedelta(seconds=1)
GWEI = 10**9


class FussySigner(SignerClient):
    """The house's signer, except that it raises for one kind of order or one organisation."""

    def __init__(
        self,
        house: House,
        error: BaseException,
        kind: str = "",
        *,
        org_id: int = 0,
        wallets: WalletAddresses | None = None,
    ) -> None:
        super().__init__(Path())
        self._house = house
        self._error = error
        self._kind = kind
        self._org_id = org_id
        self._other = wallets

    async def addresses(self, org_id: int) -> WalletAddresses:
        if org_id == self._org_id:
            raise self._error
        return self._other or await self._house.signer.addresses(org_id)

    async def sign(self, order: Order, terms: TxTerms) -> Signed:
        if order.__struct_config__.tag == self._kind:
            raise self._error
        return await self._house.signer.sign(order, terms)

    def worker(self) -> MoveWorker:
        return MoveWorker(self._house.desk, self._house.chains, self)


class BrokenChain(FakeChain):
    """A chain whose client has a bug."""

    async def nonce(self, address: str, at: str) -> int:
        raise RuntimeError(f"nobody ever counted {address} at {at}")


async def one_of_each(house: House) -> tuple[Invoice, Invoice]:
    """An invoice whose payout may be signed, and one whose sweep may."""
    paying = await house.signed_bill()
    await house.drive(rounds=1)
    await house.worker().follow(house.arb.chain)
    assert (await house.move(paying, "payout")).status == "ready"
    return paying, await house.signed_bill()


@pytest.mark.parametrize(
    "error",
    [
        msgspec.ValidationError("Expected `str`"),
        RuntimeError("a bug"),
        SignerRefused(Code.BROKEN, "its disk is full"),
    ],
)
@pytest.mark.parametrize("kind", ["pay", "sweep"])
async def test_a_wallet_that_cannot_sign_keeps_no_other_waiting(
    house: House, kind: str, error: Exception
) -> None:
    paying, sweeping = await one_of_each(house)
    await FussySigner(house, error, kind).worker().step()

    payout, sweep = await house.move(paying, "payout"), await house.move(sweeping, "sweep")
    stuck, gone = (payout, sweep) if kind == "pay" else (sweep, payout)
    assert gone.status == "signed"
    assert stuck.status == "ready"
    assert str(error) in str(stuck.wait_reason)

    clock(house).advance(SECOND)
    await house.drive(rounds=4)
    assert await house.status(sweeping) is await house.status(paying) is Status.COMPLETED


async def test_an_organisation_that_the_signer_refuses_keeps_no_other_waiting(
    house: House,
) -> None:
    second = await (await House(house.desk, house.arb, house.signer, org_id=2).open()).settled_in()
    refused, served = await house.signed_bill(), await second.signed_bill()
    error = SignerRefused(Code.MALFORMED, "no such organisation")
    await house.drive(FussySigner(house, error, org_id=1).worker(), rounds=4)

    assert await second.status(served) is Status.COMPLETED
    waits = await house.move(refused, "sweep")
    assert waits.wait_reason == "SignerRefused: no such organisation"


async def test_a_chain_whose_client_fails_keeps_no_other_waiting(house: House) -> None:
    usdt_on_base = CHAINS["base"].accepted[-1]
    await house.ready("base")
    stuck = await house.bill(assets=(usdt_on_base,), status=Status.SIGN_PENDING)
    await house.receive(stuck, DUE, usdt_on_base)
    await house.screened(stuck)
    await house.sign_off(stuck)
    served = await house.signed_bill()
    chains = {"base": BrokenChain(clock(house), key="base"), **house.chains}

    await house.drive(MoveWorker(house.desk, chains, house.signer), rounds=4)
    assert await house.status(served) is Status.COMPLETED
    assert await house.status(stuck) is Status.SWEEPING


async def test_committed_bytes_are_sent_whatever_goes_wrong_afterwards(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    paying, _ = await one_of_each(house)
    await house.worker().reserve(house.arb.chain)

    async def fails(_at: At) -> Block | None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(house.arb.chain, "block", fails)
    await house.worker().step()
    kept = (await house.move(paying, "payout")).tx_hash
    assert kept is not None
    assert (await house.arb.receipt(kept)).ok


async def test_committed_bytes_are_sent_before_anything_else_is_signed(house: House) -> None:
    paying = await house.signed_bill()
    await house.drive(rounds=1)
    await house.worker().follow(house.arb.chain)
    await house.worker().reserve(house.arb.chain)
    kept = (await house.move(paying, "payout")).tx_hash
    assert kept is not None
    await house.signed_bill()

    with pytest.raises(KeyboardInterrupt):
        await FussySigner(house, KeyboardInterrupt(), "sweep").worker().step()
    assert (await house.arb.receipt(kept)).ok


async def test_one_transaction_that_cannot_be_followed_keeps_no_other_from_settling(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_of_each(house)
    await house.worker().reserve(house.arb.chain)
    await house.worker().broadcast(house.arb.chain)
    await house.finalize()
    first, _ = await moving.open_txs(house.desk, "arb")
    honest = house.arb.chain.receipt

    async def fails_for_the_first(tx_hash: str) -> object:
        if tx_hash == first.tx.tx_hash:
            raise RuntimeError("a log that nobody can read")
        return await honest(tx_hash)

    monkeypatch.setattr(house.arb.chain, "receipt", fails_for_the_first)
    assert await house.worker().follow(house.arb.chain)
    left = await moving.open_txs(house.desk, "arb")
    assert [open_tx.tx.tx_hash for open_tx in left] == [first.tx.tx_hash]


async def test_a_paused_token_is_waited_for_while_others_go_on(house: House) -> None:
    paying = await house.signed_bill(asset=USDC)
    await house.drive(rounds=1)
    await house.worker().follow(house.arb.chain)
    sweeping, other = await house.signed_bill(asset=USDC), await house.signed_bill()
    await house.arb.as_issuer(USDC, "pause()")
    await house.drive(rounds=4)

    payout, sweep = await house.move(paying, "payout"), await house.move(sweeping, "sweep")
    assert "the chain would refuse it: " in str(payout.wait_reason)
    assert "its issuer may have frozen the address or paused the token" in str(sweep.wait_reason)
    assert (payout.status, sweep.status) == ("ready", "ready")
    assert await house.status(other) is Status.COMPLETED
    assert await house.at_merchant(USDC) == 0

    await house.arb.as_issuer(USDC, "unpause()")
    clock(house).advance(timedelta(minutes=15))
    await house.drive(rounds=4)
    assert await house.status(paying) is await house.status(sweeping) is Status.COMPLETED
    assert await house.at_merchant(USDC) == 2 * DUE
    compared = [found async for found in reconcile(house.desk, house.arb.chain)]
    assert [found.differences for found in compared] == [()] * len(compared)


async def test_a_dear_chain_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    bill = await house.signed_bill()

    async def dear() -> Fees:
        return Fees(max_fee_wei=101 * GWEI, tip_wei=GWEI)

    monkeypatch.setattr(house.arb.chain, "fees", dear)
    await house.drive()
    waits = await house.move(bill, "sweep")
    assert waits.status == "ready"
    assert waits.wait_reason == (
        f"the signer refused: a fee of {101 * GWEI} wei per gas is above {100 * GWEI}"
    )

    monkeypatch.undo()
    clock(house).advance(SECOND)
    await house.drive(rounds=4)
    assert await house.status(bill) is Status.COMPLETED


async def test_a_transaction_that_costs_too_much_altogether_is_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = await house.signed_bill()
    await house.fund("operator", 2 * ETHER)

    async def gluttonous(_from: str, _to: str, _data: bytes, _value_wei: int = 0) -> int:
        return 10_000_000

    async def pricey() -> Fees:
        return Fees(max_fee_wei=90 * GWEI, tip_wei=GWEI)

    monkeypatch.setattr(house.arb.chain, "estimate_gas", gluttonous)
    monkeypatch.setattr(house.arb.chain, "fees", pricey)
    await house.worker().reserve(house.arb.chain)
    waits = await house.move(bill, "sweep")
    assert (waits.status, waits.nonce) == ("ready", None)
    assert f"12500000 gas at {90 * GWEI} wei each is above" in str(waits.wait_reason)


async def test_the_days_cap_is_waited_for_until_midnight(house: House) -> None:
    paying, _ = await one_of_each(house)
    midnight = NOON + timedelta(hours=12)
    full = SignerRefused(Code.DAY_CAP, "500000 dollars are signed already", retry_at=midnight)
    await FussySigner(house, full, "pay").worker().reserve(house.arb.chain)

    waits = await house.move(paying, "payout")
    assert waits.status == "ready"
    assert waits.wait_until == midnight
    clock(house).advance(timedelta(hours=12) - SECOND)
    await house.drive()
    assert await house.status(paying) is Status.PAYOUT_PROCESSING
    clock(house).advance(SECOND)
    await house.drive()
    assert await house.status(paying) is Status.COMPLETED


@pytest.mark.parametrize("code", [Code.POLICY, Code.WARRANT, Code.CAP, Code.MOVE_SIGNED])
async def test_what_the_signer_never_signs_parks(house: House, code: Code) -> None:
    paying, _ = await one_of_each(house)
    await FussySigner(house, SignerRefused(code, "never"), "pay").worker().step()

    parked = await house.move(paying, "payout")
    assert (parked.status, parked.park_reason) == ("parked", "the signer refused: never")


async def test_a_signer_on_another_seed_parks_nothing(house: House) -> None:
    bill = await house.signed_bill()
    other = replace(await house.signer.addresses(2), hold="0x" + "77" * 20)
    await FussySigner(house, AssertionError("unasked"), wallets=other).worker().step()
    waits = await house.move(bill, "sweep")
    assert waits.status == "ready"
    assert "does it run on another seed?" in str(waits.wait_reason)


async def test_a_wallet_that_was_looked_at_goes_on(house: House) -> None:
    paying, _ = await one_of_each(house)
    pool = (await house.org()).pool_address
    await house.arb.send(pool, MERCHANT_ADDRESS, value_wei=1)
    await house.finalize()
    await house.drive()
    assert (await house.wallet("pool")).frozen_reason is not None

    with pytest.raises(OutOfPlace, match="nonce 0 was used by a transaction that neither"):
        await house.thaw()
    assert (await house.wallet("pool")).frozen_reason is not None
    assert await house.thaw(explained=[0]) == []
    await house.drive()
    assert await house.status(paying) is Status.COMPLETED
    assert (await house.move(paying, "payout")).nonce == 1
    assert await house.at_merchant(USDT) >= DUE


async def test_a_payment_whose_nonce_is_gone_parks_and_is_never_signed_again(
    house: House,
) -> None:
    paying, _ = await one_of_each(house)
    await house.worker().reserve(house.arb.chain)
    pool = (await house.org()).pool_address
    await house.arb.send(pool, MERCHANT_ADDRESS, value_wei=1)
    await house.finalize()
    worker = house.worker()
    await house.drive(worker)
    payout = await house.move(paying, "payout")
    assert payout.status == "signed"

    why = {"by": "operator:kim", "reason": "our own test of the key"}
    with pytest.raises(OutOfPlace, match="they have to say so again, 2 minutes after"):
        await house.thaw(explained=[0])
    assert (await house.wallet("pool")).frozen_reason is not None
    clock(house).advance(stuck.GONE_PATIENCE)
    assert await house.thaw(explained=[0]) == [payout.move_id]
    await house.drive(worker)
    parked = await house.move(paying, "payout")
    assert "was consumed by a transaction that is not" in str(parked.park_reason)
    assert (await house.wallet("pool")).frozen_reason is None
    with pytest.raises(OutOfPlace, match="no second nonce"):
        await upkeep.retry(house.desk, 1, parked.move_id, **why)


def clock(house: House) -> FakeClock:
    found = house.desk.clock
    assert isinstance(found, FakeClock)
    return found
