"""What a receipt of ours proves about each movement: the token's own log, and nothing else."""

from dataclasses import replace
from uuid import UUID

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from counterfoil.books.wallets import TxRow, WalletRole, WalletRow
from counterfoil.chains.evm.addresses import DepositAddresses, FactoryTerms, salt_of
from counterfoil.chains.evm.transfers import TRANSFER_TOPIC, address_topic
from counterfoil.chains.port import Log, Receipt
from counterfoil.desk.landing import LandedItem
from counterfoil.desk.moving import Batch, Item, OpenTx
from counterfoil.signer.orders import WalletAddresses
from counterfoil.signer.payload import factory_terms
from counterfoil.workers.evm_moves import OtherWallet, landed, must_be_the_signers, strangers
from support.fake_clock import NOON
from support.invoices import DUE, MERCHANT_ADDRESS, STRANGER, USDC, USDT
from support.rows import a_move

POOL, HOLD, OPERATOR = "0x" + "b0" * 20, "0x" + "c0" * 20, "0x" + "0e" * 20
GAS, ADMIN = "0x" + "9a" * 20, "0x" + "ad" * 20
FACTORY = FactoryTerms(pool=POOL, hold=HOLD, operator=OPERATOR, admin=ADMIN).address
DEPOSITS = DepositAddresses(FACTORY)
TX = "0x" + "88" * 32
FEE = 7_000
WALLETS = WalletAddresses(
    operator=OPERATOR, pool=POOL, hold=HOLD, gas=GAS, admin=ADMIN, factory=FACTORY
)


def sweep_item(number: int = 1) -> Item:
    move = replace(a_move("sweep", moved=None), move_id=UUID(int=number))
    return Item(move, number, DEPOSITS.address(number))


def payout_item() -> Item:
    return Item(replace(a_move("payout", moved=None), destination=MERCHANT_ADDRESS))


def open_tx(*items: Item, role: WalletRole = "operator") -> OpenTx:
    wallet = WalletRow("arb", OPERATOR if role == "operator" else POOL, 1, role, 1, None)
    row = TxRow(
        chain="arb",
        wallet=wallet.address,
        nonce=0,
        attempt=0,
        tx_hash=TX,
        raw=b"raw",
        gas_limit=100_000,
        max_fee_wei=2,
        tip_wei=1,
        cancels=False,
        status="sent",
        signed_at=NOON,
        sent_at=NOON,
        send_error=None,
        block_number=None,
        fee_wei=None,
    )
    return OpenTx((row,), wallet, FACTORY, POOL, HOLD, items)


def receipt(*logs: Log, ok: bool = True) -> Receipt:
    return Receipt(TX, 90, "0x" + "bb" * 32, ok, 60_000, FEE, logs)


def arrived(units: int, sender: str, to: str = POOL, token: str = USDT.contract) -> Log:
    topics = (TRANSFER_TOPIC, address_topic(sender), address_topic(to))
    return Log(token, topics, units.to_bytes(32, "big"), 0)


def swept(
    units: int, number: int = 1, *, contract: str = FACTORY, token: str = USDT.contract
) -> Log:
    name = "0x" + keccak(text="Swept(bytes32,address,address,uint256,bool)").hex()
    account = DEPOSITS.address(number)
    data = encode(["address", "uint256", "bool"], [account, units, False])
    return Log(contract, (name, salt_of(number), address_topic(token)), data, 0)


def failed(number: int = 1) -> Log:
    name = "0x" + keccak(text="SweepFailed(bytes32,address,address,bool)").hex()
    data = encode(["address", "bool"], [DEPOSITS.address(number), False])
    return Log(FACTORY, (name, salt_of(number), address_topic(USDT.contract)), data, 0)


def of_sweep(*logs: Log) -> LandedItem:
    (item,) = landed(open_tx(sweep_item()), receipt(*logs)).items
    return item


def of_payout(*logs: Log) -> LandedItem:
    (item,) = landed(open_tx(payout_item(), role="pool"), receipt(*logs)).items
    return item


def test_a_sweep_that_arrived_in_the_pool_is_done() -> None:
    from_address = DEPOSITS.address(1)
    told = landed(open_tx(sweep_item()), receipt(swept(DUE), arrived(DUE, from_address)))

    assert told.items == (LandedItem(UUID(int=1), DUE),)
    assert (told.ok, told.fee_wei, told.block_number, told.tx_hash) == (True, FEE, 90, TX)


def test_dust_that_came_along_is_counted_as_arrived() -> None:
    item = of_sweep(swept(DUE + 5), arrived(DUE + 5, DEPOSITS.address(1)))
    assert item == LandedItem(UUID(int=1), DUE + 5)


@pytest.mark.parametrize(
    ("units", "log"),
    [
        pytest.param(DUE - 1, arrived(DUE - 1, DEPOSITS.address(1)), id="the token took a fee"),
        pytest.param(0, arrived(DUE, DEPOSITS.address(1), to=HOLD), id="it went elsewhere"),
        pytest.param(0, arrived(DUE, DEPOSITS.address(2)), id="it came from elsewhere"),
        pytest.param(
            0, arrived(DUE, DEPOSITS.address(1), token=USDC.contract), id="another token moved"
        ),
        pytest.param(DUE + 1, arrived(DUE + 1, DEPOSITS.address(1)), id="more than our event says"),
    ],
)
def test_the_token_is_believed_and_not_our_own_event(units: int, log: Log) -> None:
    item = of_sweep(swept(DUE), log)

    assert item.moved_units == units
    assert item.token_fee_units == max(DUE - units, 0), "our contract saw that much leave"
    assert item.problem == (
        f"{DUE} base units were to be swept; {DUE} left {DEPOSITS.address(1)},"
        f" {units} arrived in the pool"
    )


def test_less_than_was_planned_is_a_problem_though_event_and_token_agree() -> None:
    item = of_sweep(swept(DUE - 1), arrived(DUE - 1, DEPOSITS.address(1)))
    assert item.moved_units == DUE - 1
    assert item.problem is not None


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(swept(DUE, contract="0x" + "ee" * 20), id="of another contract"),
        pytest.param(swept(DUE, token=USDC.contract), id="about another token"),
        pytest.param(swept(DUE, number=2), id="about another address"),
    ],
)
def test_a_sweep_without_an_event_of_its_own_is_not_done(event: Log) -> None:
    item = of_sweep(event, arrived(DUE, DEPOSITS.address(1)))
    assert item.moved_units == 0
    assert item.problem == f"the sweep {TX} has no event for {DEPOSITS.address(1)}"


def test_one_address_that_its_issuer_froze_is_told_apart_from_the_rest() -> None:
    told = landed(
        open_tx(sweep_item(1), sweep_item(2)),
        receipt(failed(1), swept(DUE, 2), arrived(DUE, DEPOSITS.address(2))),
    )
    bad, good = told.items
    assert (bad.moved_units, good) == (0, LandedItem(UUID(int=2), DUE))
    assert f"the token would not move out of {DEPOSITS.address(1)}" in str(bad.problem)


def test_a_batch_that_reverted_proves_nothing_whatever_its_logs_say() -> None:
    logs = (swept(DUE), arrived(DUE, DEPOSITS.address(1)))
    told = landed(open_tx(sweep_item(1), sweep_item(2)), receipt(*logs, ok=False))
    assert (told.ok, told.items, told.fee_wei) == (False, (), FEE)


def test_a_payout_that_the_token_shows_in_full_is_done() -> None:
    assert of_payout(arrived(DUE, POOL, MERCHANT_ADDRESS)).problem is None
    assert of_payout(arrived(DUE, POOL, MERCHANT_ADDRESS)).moved_units == DUE


@pytest.mark.parametrize(
    ("units", "gone", "logs"),
    [
        pytest.param(DUE - 1, 0, [arrived(DUE - 1, POOL, MERCHANT_ADDRESS)], id="short"),
        pytest.param(DUE + 1, 0, [arrived(DUE + 1, POOL, MERCHANT_ADDRESS)], id="too much"),
        pytest.param(0, DUE, [arrived(DUE, POOL, STRANGER)], id="to somebody else"),
        pytest.param(0, DUE, [arrived(DUE, POOL, HOLD)], id="to another place of ours"),
        pytest.param(
            1, 9, [arrived(1, POOL, MERCHANT_ADDRESS), arrived(9, POOL, STRANGER)], id="a part each"
        ),
        pytest.param(
            1, 0, [arrived(1, POOL, MERCHANT_ADDRESS), arrived(9, POOL, POOL)], id="to itself"
        ),
    ],
)
def test_a_payout_is_what_the_token_shows_leaving(units: int, gone: int, logs: list[Log]) -> None:
    told = landed(open_tx(payout_item(), role="pool"), receipt(*logs))
    (item,) = told.items
    assert not told.empty
    assert (item.moved_units, item.token_fee_units) == (units, gone)
    assert item.problem == (
        f"{DUE} base units were to be paid; the token shows {units + gone} leaving and {units}"
        f" arriving at {MERCHANT_ADDRESS}"
    )


@pytest.mark.parametrize(
    "logs",
    [
        pytest.param([], id="no log at all"),
        pytest.param([arrived(DUE, OPERATOR, MERCHANT_ADDRESS)], id="from another sender"),
        pytest.param([arrived(DUE, POOL, POOL)], id="to itself"),
        pytest.param([arrived(0, POOL, MERCHANT_ADDRESS)], id="nothing"),
    ],
)
def test_a_payout_that_shows_nothing_leaving_is_as_good_as_reverted(logs: list[Log]) -> None:
    told = landed(open_tx(payout_item(), role="pool"), receipt(*logs))
    (item,) = told.items
    assert (told.ok, told.empty) == (True, True)
    assert (item.moved_units, item.token_fee_units) == (0, 0)
    assert f"{TX} landed and its token moved nothing" in str(item.problem)


def test_a_payout_of_which_another_token_left_is_not_as_good_as_reverted() -> None:
    other = arrived(DUE, POOL, MERCHANT_ADDRESS, token=USDC.contract)
    told = landed(open_tx(payout_item(), role="pool"), receipt(other))
    (item,) = told.items
    assert (told.ok, told.empty) == (True, False)
    assert (item.moved_units, item.token_fee_units) == (0, 0)
    assert item.problem


def test_only_a_payment_is_empty() -> None:
    assert not landed(open_tx(sweep_item()), receipt()).empty
    assert not landed(open_tx(payout_item(), role="pool"), receipt(ok=False)).empty
    ether = replace(payout_item(), move=replace(payout_item().move, contract=""))
    told = landed(open_tx(ether, role="pool"), receipt())
    assert (told.empty, told.items[0].problem) == (False, None)


@pytest.mark.parametrize("purpose", ["fuel", "deploy"])
def test_native_coin_and_deployments_are_proven_by_success(purpose: str) -> None:
    item = Item(a_move(purpose, moved=None, units=3))  # type: ignore[arg-type]  # - a purpose by its name
    assert landed(open_tx(item, role="gas"), receipt()).items == (LandedItem(item.move.move_id, 3),)


def batch(*items: Item, address: str = OPERATOR) -> Batch:
    return Batch(WalletRow("arb", address, 1, "operator", 0, None), items)


def test_addresses_that_are_not_the_factorys_are_named_one_by_one() -> None:
    swapped = replace(sweep_item(2), deposit_address=DEPOSITS.address(3))
    assert factory_terms(WALLETS).address == FACTORY
    assert strangers(batch(sweep_item(1), swapped), DEPOSITS, f"factory {FACTORY}") == {
        UUID(int=2): f"{DEPOSITS.address(3)} is no deposit address of factory {FACTORY}"
    }


def test_a_signer_on_another_seed_is_asked_nothing() -> None:
    must_be_the_signers(batch(address=OPERATOR).wallet, WALLETS)
    with pytest.raises(OtherWallet, match="does it run on another seed"):
        must_be_the_signers(batch(address=STRANGER).wallet, WALLETS)
