"""`SigningDesk`: a signer with its memory, and the orders that people bring it."""

from dataclasses import replace as but
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from msgspec.structs import replace

from counterfoil.chains.evm.addresses import salt_of
from counterfoil.core.warrant import Warrant, seal_warrant
from counterfoil.signer.keys import Keyring
from counterfoil.signer.memory import Memory, create_memory, open_memory
from counterfoil.signer.orders import (
    Order,
    PayOrder,
    Signed,
    SweepOrder,
    TxTerms,
    WalletAddresses,
    pay_order,
)
from counterfoil.signer.origin import Origin
from counterfoil.signer.policy import Limits
from counterfoil.signer.refusals import SignerRefused
from counterfoil.signer.signing import Signer
from counterfoil.signer.wire import Code

SEED = bytes(range(64))
APPROVAL_KEY = bytes(range(32))
MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
MERCHANT_BANK = "0x" + "ab" * 20
THIEF = "0x" + "bad0" * 10
USDT = "0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9"
USDC_ON_BASE = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
USDC_E = "0xff970a61a04b1ca14834a43f5de4533ebddb5cc8"
ARBITRUM = 42161
TERMS = TxTerms(nonce=7, gas_limit=90_000, max_fee_wei=20_000_000, tip_wei=1_000_000)
WARRANT = Warrant(
    org_id=1,
    move_id="move-a",
    purpose="payout",
    chain="arb",
    contract=USDT,
    destination=MERCHANT_BANK,
    amount_units=3_000_000_000,
    approved_by="user_reviewer",
    approved_at=MONDAY,
)


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.at = MONDAY

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class SigningDesk:
    """The signer with its memory, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Hands()
        self.limits = Limits()
        self.memory: Memory | None = None
        create_memory(folder / "memory", Origin(seed=Keyring(SEED).fingerprint, at=MONDAY))
        self.start()

    def start(self) -> None:
        self.stop()
        self.memory, _ = open_memory(self.folder / "memory")
        self.signer = Signer(Keyring(SEED), self.memory, APPROVAL_KEY, self.limits, self.clock)

    def stop(self) -> None:
        if self.memory:
            self.memory.close()

    @property
    def wallets(self) -> WalletAddresses:
        return self.signer.addresses(1)

    def sign(self, order: Order, terms: TxTerms = TERMS) -> Signed:
        return self.signer.sign(order, terms)

    def refuses(self, code: Code, order: Order, terms: TxTerms = TERMS) -> SignerRefused:
        assert self.memory
        lines = (self.folder / "memory").read_bytes()
        with pytest.raises(SignerRefused) as refused:
            self.sign(order, terms)
        assert refused.value.code == code, refused.value.reason
        assert (self.folder / "memory").read_bytes() == lines
        return refused.value


def approved(**changes: Any) -> PayOrder:  # noqa: ANN401 - any field of the warrant
    """A payment as the reviewer approved it."""
    warrant = but(WARRANT, **changes)
    return pay_order(warrant, seal_warrant(warrant, APPROVAL_KEY))


def at_nonce(nonce: int) -> TxTerms:
    return replace(TERMS, nonce=nonce)


def sweep(desk: SigningDesk, **changes: Any) -> SweepOrder:  # noqa: ANN401 - any field of the order
    order = SweepOrder(
        org_id=1,
        move_ids=("move-s1", "move-s2"),
        chain_id=ARBITRUM,
        factory=desk.wallets.factory,
        token=USDT,
        salts=(salt_of(0), salt_of(1)),
        to_hold=False,
    )
    return replace(order, **changes)


def on_chain(signed: Signed) -> dict[str, Any]:
    """What a node reads in the bytes, by a library that shares nothing with ours."""
    assert Account.recover_transaction(signed.raw).lower() == signed.sender
    transaction = TypedTransaction.from_bytes(HexBytes(signed.raw))
    fields: dict[str, Any] = transaction.as_dict()
    return fields
