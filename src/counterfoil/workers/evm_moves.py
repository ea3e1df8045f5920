"""Between our moves and EVM transactions: what to have signed, and what a receipt proves."""

from typing import Final, NoReturn
from uuid import UUID

from counterfoil.chains.evm.addresses import (
    ZERO_ADDRESS,
    DepositAddresses,
    DepositScheme,
    salt_of,
)
from counterfoil.chains.evm.transactions import SweptItem, paid, swept
from counterfoil.chains.evm.transfers import TRANSFER_TOPIC, address_topic
from counterfoil.chains.port import Fees, Receipt
from counterfoil.core.assets import CHAINS
from counterfoil.desk import children
from counterfoil.desk.desk import Desk
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import (
    EMPTYING,
    PAID,
    Batch,
    Item,
    MoveRow,
    OpenTx,
    SigningRefused,
    WalletRole,
    WalletRow,
)
from counterfoil.desk.stuck import LostSignature
from counterfoil.desk.warrants import claimed_warrant
from counterfoil.signer.orders import (
    CancelChildOrder,
    CancelOrder,
    DeployOrder,
    FuelChildOrder,
    FuelOrder,
    Order,
    RestoreOrder,
    SweepChildOrder,
    SweepOrder,
    WalletAddresses,
    pay_order,
)

_WORD_BYTES: Final = 32
_TRANSFER_TOPICS: Final = 3
_GAS_MARGIN_PERCENT: Final = 125
_FROM_ZERO_GAS: Final = 20_000


class OtherWallet(Exception):  # noqa: N818 - says what is wrong, as core/errors.py does
    """The signer has other wallets than the books; nothing is wrong with the movements."""


def must_be_the_signers(wallet: WalletRow, wallets: WalletAddresses) -> None:
    """Raise `OtherWallet` unless the signer holds the key of a wallet.

    Children are compared one by one, in `strangers`.
    """
    if wallet.role == "child":
        return
    theirs = {
        "operator": wallets.operator,
        "pool": wallets.pool,
        "hold": wallets.hold,
        "gas": wallets.gas,
    }[wallet.role]
    if theirs != wallet.address:
        msg = (
            f"the signer's {wallet.role} wallet is {theirs}, the books say {wallet.address};"
            " does it run on another seed?"
        )
        raise OtherWallet(msg)


def cancel_order(
    wallet: WalletRow, lost: LostSignature, number: int | None = None
) -> CancelOrder | CancelChildOrder:
    """What to ask of the signer to use up a nonce whose signature got lost.

    Raises `SigningRefused` for a deposit address without its ``number``.
    """
    move_ids = tuple(str(move_id) for move_id in lost.move_ids)
    chain_id = CHAINS[wallet.chain].chain_id
    if wallet.role != "child":
        return CancelOrder(wallet.org_id, move_ids, chain_id, wallet.role)
    if number is None:
        _refuse(f"{wallet.address} is no deposit address that was given out")
    return CancelChildOrder(wallet.org_id, move_ids, chain_id, number, wallet.address)


def order_for(batch: Batch, wallets: WalletAddresses) -> Order:
    """What to ask of the signer for a batch.

    Raises `SigningRefused` for what is not worth asking: a deposit address that is not the
    signer's, or a payment without a warrant.
    """
    first = batch.items[0]
    chain_id = CHAINS[batch.wallet.chain].chain_id
    move_id = str(first.move.move_id)
    match first.move.purpose:
        case "sweep" | "quarantine" if batch.wallet.role == "child":
            return _sweep_child_order(first, chain_id)
        case "sweep" | "quarantine":
            return _sweep_order(batch, wallets, chain_id)
        case "deploy":
            return DeployOrder(batch.wallet.org_id, move_id, chain_id)
        case "fuel":
            return _fuel_order(batch, chain_id)
        case "restore":
            return RestoreOrder(
                org_id=first.move.org_id,
                move_id=move_id,
                chain_id=chain_id,
                token=first.move.contract or ZERO_ADDRESS,
                amount_units=str(first.move.amount_units),
            )
        case _:
            return _pay_order(first)


def strangers(batch: Batch, derived: DepositScheme, origin: str) -> dict[UUID, str]:
    """The movements whose deposit address is not one that the signer derives, and why.

    ``origin`` names where they are derived from. Movements from no deposit address, and to none,
    are left out.
    """
    return {
        item.move.move_id: f"{item.deposit_address} is no deposit address of {origin}"
        for item in batch.items
        if (item.number is not None or item.move.purpose in EMPTYING)
        and (item.number is None or derived.address(item.number) != item.deposit_address)
    }


def gas_limit(estimate: int, role: WalletRole) -> int:
    """How much gas to allow, as an estimate is made on another block than the one it lands in.

    A child's sweep may find the pool emptied by payouts since, and a balance that starts from
    zero costs more to write (EIP-2200, EIP-2929).
    """
    from_zero = _FROM_ZERO_GAS if role == "child" else 0
    return estimate * _GAS_MARGIN_PERCENT // 100 + from_zero


def least_fee_wei(fees: Fees) -> int:
    """The least fee per gas to sign with: it holds while the base fee rises by a quarter."""
    # `Chain.fees` proposes twice the base fee, and the tip.
    base_fee_wei = (fees.max_fee_wei - fees.tip_wei) // 2
    return fees.tip_wei + base_fee_wei * 5 // 4


async def affordable_fee_wei(
    desk: Desk, wallet: WalletRow, limit: int, fees: Fees, data_fee_wei: int
) -> int:
    """What is proposed; of a child, which was given what one sweep needs, what it can pay."""
    if wallet.role != "child":
        return fees.max_fee_wei
    purse_wei = await children.purse_wei(desk, wallet)
    affordable_wei = (purse_wei - data_fee_wei) // limit
    return (
        fees.max_fee_wei
        if affordable_wei < least_fee_wei(fees)
        else min(fees.max_fee_wei, affordable_wei)
    )


def least_data_fee_wei(data_fee_wei: int) -> int:
    """What to reckon beside gas when signing: it holds while that fee rises by a quarter."""
    return data_fee_wei * 5 // 4


def most_data_fee_wei(data_fee_wei: int) -> int:
    """What to bring for it: fuel is minutes on its way, in which Ethereum may triple its fee."""
    return data_fee_wei * 3


def landed(open_tx: OpenTx, receipt: Receipt) -> Landed:
    """What a finalized, canonical receipt of ours proves about each of its movements."""
    return Landed(
        chain=open_tx.tx.chain,
        tx_hash=receipt.tx_hash,
        block_number=receipt.block_number,
        ok=receipt.ok,
        fee_wei=receipt.fee_wei,
        items=_landed_items(open_tx, receipt) if receipt.ok else (),
        empty=_is_empty(open_tx, receipt),
    )


def moves_nothing(receipt: Receipt, token: str, sender: str) -> bool:
    """Whether a payment of a token succeeded, and by no token's logs anything left its sender.

    By the token's own alone it would not do: the books may name another than was paid, if somebody
    wrote into them. Of native coin it never does: what it paid is part of the signed bytes.
    """
    called = {log.contract for log in receipt.logs}
    return receipt.ok and bool(token) and not any(_left_units(receipt, c, sender) for c in called)


def _is_empty(open_tx: OpenTx, receipt: Receipt) -> bool:
    return (
        not open_tx.tx.cancels
        and bool(open_tx.items)
        and all(
            item.move.purpose in PAID
            and moves_nothing(receipt, item.move.contract, open_tx.wallet.address)
            for item in open_tx.items
        )
    )


def _sweep_order(batch: Batch, wallets: WalletAddresses, chain_id: int) -> SweepOrder:
    derived = DepositAddresses(wallets.factory)
    for reason in strangers(batch, derived, f"factory {wallets.factory}").values():
        _refuse(reason)
    return SweepOrder(
        org_id=batch.wallet.org_id,
        move_ids=tuple(str(item.move.move_id) for item in batch.items),
        chain_id=chain_id,
        factory=wallets.factory,
        token=batch.items[0].move.contract or ZERO_ADDRESS,
        salts=tuple(_salt(item) for item in batch.items),
        to_hold=_to_hold(batch.items[0]),
    )


def _sweep_child_order(item: Item, chain_id: int) -> SweepChildOrder:
    number, child = _deposit(item)
    return SweepChildOrder(
        org_id=item.move.org_id,
        move_id=str(item.move.move_id),
        chain_id=chain_id,
        number=number,
        child=child,
        token=item.move.contract,
        amount_units=str(item.move.amount_units),
        to_hold=_to_hold(item),
    )


def _to_hold(item: Item) -> bool:
    return item.move.purpose == "quarantine"


def _fuel_order(batch: Batch, chain_id: int) -> Order:
    move = batch.items[0].move
    if batch.items[0].number is not None:
        number, child = _deposit(batch.items[0])
        return FuelChildOrder(
            org_id=move.org_id,
            move_id=str(move.move_id),
            chain_id=chain_id,
            number=number,
            child=child,
            value_wei=str(move.amount_units),
        )
    role = batch.destination_role
    if role not in {"operator", "pool", "hold"}:
        _refuse(f"{move.destination} is no wallet of ours that needs fuel")
    return FuelOrder(
        org_id=move.org_id,
        move_id=str(move.move_id),
        chain_id=chain_id,
        destination_role=role,
        value_wei=str(move.amount_units),
    )


def _pay_order(item: Item) -> Order:
    move = item.move
    warrant = claimed_warrant(move)
    if warrant is None or move.warrant is None:
        _refuse("nobody approved this payment: it has no warrant")
    return pay_order(warrant, move.warrant)


def _landed_items(open_tx: OpenTx, receipt: Receipt) -> tuple[LandedItem, ...]:
    events = {event.salt: event for event in swept(receipt, open_tx.factory)}

    def item_landed(item: Item) -> LandedItem:
        match item.move.purpose:
            case "sweep" | "quarantine" if open_tx.wallet.role == "child":
                return _sent_by_child(open_tx, receipt, item)
            case "sweep" | "quarantine":
                return _swept(open_tx, receipt, item, events.get(_salt(item)))
            case "fuel" | "deploy":
                return LandedItem(item.move.move_id, item.move.amount_units)
            case "restore":
                return _paid(open_tx, receipt, item, open_tx.pool)
            case _:
                return _paid(open_tx, receipt, item, item.move.destination)

    return tuple(item_landed(item) for item in open_tx.items)


def _swept(open_tx: OpenTx, receipt: Receipt, item: Item, event: SweptItem | None) -> LandedItem:
    """Believe what arrived with us by the token's own log, and compare all else with it.

    Native coin writes no log: there the factory's event is the proof, as the call that moved it
    would have failed as a whole.
    """
    move = item.move
    name, wallet = _receiver(open_tx, item)
    if (
        event is None
        or event.token != (move.contract or ZERO_ADDRESS)
        or event.to_hold != _to_hold(item)
        or event.account != item.deposit_address
    ):
        problem = f"the sweep {receipt.tx_hash} has no event for {item.deposit_address}"
        return LandedItem(move.move_id, 0, problem)
    if not event.ok:
        problem = (
            f"the token would not move out of {item.deposit_address}: its issuer may have frozen"
            " the address or paused the token"
        )
        return LandedItem(move.move_id, 0, problem, again=True)
    arrived_units = (
        _arrived_units(receipt, move.contract, event.account, wallet)
        if move.contract
        else event.amount_units
    )
    fee_units = (
        _fee_units(open_tx, receipt, (move.contract, event.account, wallet), arrived_units)
        if move.contract
        else 0
    )
    left_units = arrived_units + fee_units
    if left_units != event.amount_units or left_units < move.amount_units:
        problem = (
            f"{move.amount_units} base units were to be swept; {event.amount_units} left"
            f" {event.account}, {arrived_units} arrived in the {name}"
        )
        if not move.contract:
            return LandedItem(move.move_id, arrived_units, problem)
        # Our contract saw the address emptied of that much, whatever the token wrote down.
        left_units = max(_left_units(receipt, move.contract, event.account), event.amount_units)
        gone_units = left_units - arrived_units
        return LandedItem(move.move_id, arrived_units, problem, token_fee_units=gone_units)
    return LandedItem(move.move_id, arrived_units, token_fee_units=fee_units)


def _receiver(open_tx: OpenTx, item: Item) -> tuple[str, str]:
    """Where a sweep goes: what it is called, and its address."""
    return ("hold wallet", open_tx.hold) if _to_hold(item) else ("pool", open_tx.pool)


def _sent_by_child(open_tx: OpenTx, receipt: Receipt, item: Item) -> LandedItem:
    """Believe what arrived with us by the token's own log."""
    move = item.move
    name, wallet = _receiver(open_tx, item)
    route = (move.contract, open_tx.wallet.address, wallet)
    arrived_units = _arrived_units(receipt, *route)
    fee_units = _fee_units(open_tx, receipt, route, arrived_units)
    if arrived_units + fee_units == move.amount_units:
        return LandedItem(move.move_id, arrived_units, token_fee_units=fee_units)
    problem = (
        f"{move.amount_units} base units were to be swept; {arrived_units} arrived in the {name}"
        f" from {open_tx.wallet.address}"
    )
    gone_units = _left_units(receipt, move.contract, open_tx.wallet.address) - arrived_units
    return LandedItem(move.move_id, arrived_units, problem, token_fee_units=gone_units)


def _paid(open_tx: OpenTx, receipt: Receipt, item: Item, destination: str) -> LandedItem:
    move = item.move
    sender = open_tx.wallet.address
    route = (move.contract, sender, destination)
    arrived_units = _arrived_units(receipt, *route) if move.contract else 0
    fee_units = _fee_units(open_tx, receipt, route, arrived_units) if move.contract else 0
    if paid(receipt, move.contract, sender, destination, move.amount_units):
        return LandedItem(move.move_id, move.amount_units, token_fee_units=fee_units)
    if fee_units and arrived_units + fee_units == move.amount_units:
        return _paid_short(move, arrived_units, fee_units)
    left_units = _left_units(receipt, move.contract, sender)
    if not left_units:
        problem = (
            f"{receipt.tx_hash} landed and its token moved nothing: no part of {move.amount_units}"
            " base units has left"
        )
        return LandedItem(move.move_id, 0, problem)
    problem = (
        f"{move.amount_units} base units were to be paid; the token shows {left_units} leaving and"
        f" {arrived_units} arriving at {destination}"
    )
    gone_units = left_units - arrived_units
    return LandedItem(move.move_id, arrived_units, problem, token_fee_units=gone_units)


def _paid_short(move: MoveRow, arrived_units: int, fee_units: int) -> LandedItem:
    """A payment that a token kept a part of waits for a person; our own places lose nobody."""
    if move.purpose == "restore":
        return LandedItem(move.move_id, arrived_units, token_fee_units=fee_units)
    problem = (
        f"{move.amount_units} base units were to be paid; {arrived_units} arrived at"
        f" {move.destination}, as its token kept {fee_units}"
    )
    return LandedItem(move.move_id, arrived_units, problem, token_fee_units=fee_units)


def _fee_units(
    open_tx: OpenTx, receipt: Receipt, route: tuple[str, str, str], arrived_units: int
) -> int:
    """What a token kept of what a sender gave to a receiver, by the token's own logs.

    Nothing is believed to be a fee where most of it went elsewhere, or any of it to another place
    of ours.
    """
    token, sender, receiver = route
    elsewhere = [
        log
        for log in receipt.logs
        if log.contract == token
        and log.topics[:2] == (TRANSFER_TOPIC, address_topic(sender))
        and len(log.topics) == _TRANSFER_TOPICS
        and log.topics[2] != address_topic(receiver)
        and len(log.data) == _WORD_BYTES
    ]
    ours = {address_topic(place) for place in (open_tx.pool, open_tx.hold)}
    fee_units = sum(int.from_bytes(log.data) for log in elsewhere)
    if fee_units >= arrived_units or any(log.topics[2] in ours for log in elsewhere):
        return 0
    return fee_units


def _arrived_units(receipt: Receipt, token: str, sender: str, receiver: str) -> int:
    route = (TRANSFER_TOPIC, address_topic(sender), address_topic(receiver))
    return sum(
        int.from_bytes(log.data)
        for log in receipt.logs
        if log.contract == token and log.topics == route and len(log.data) == _WORD_BYTES
    )


def _left_units(receipt: Receipt, token: str, sender: str) -> int:
    """What left a sender by the token's own logs, wherever it went; nothing leaves for itself."""
    origin = address_topic(sender)
    return sum(
        int.from_bytes(log.data)
        for log in receipt.logs
        if log.contract == token
        and log.topics[:2] == (TRANSFER_TOPIC, origin)
        and len(log.topics) == _TRANSFER_TOPICS
        and log.topics[2] != origin
        and len(log.data) == _WORD_BYTES
    )


def _salt(item: Item) -> str:
    number, _ = _deposit(item)
    return salt_of(number)


def _deposit(item: Item) -> tuple[int, str]:
    if item.number is None or item.deposit_address is None:
        msg = f"move {item.move.move_id} has no deposit address"
        raise ValueError(msg)
    return item.number, item.deposit_address


def _refuse(reason: str) -> NoReturn:
    raise SigningRefused(reason)
