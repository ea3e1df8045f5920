"""A payment's second nonce, and nonces that are used up for nothing: when the signer does it."""

from datetime import timedelta

import msgspec
import pytest
from hexbytes import HexBytes
from msgspec.structs import replace

from counterfoil.signer.memory import Entry
from counterfoil.signer.orders import CancelOrder
from counterfoil.signer.wire import Code
from support.signing_desk import (
    ARBITRUM,
    MONDAY,
    TERMS,
    SigningDesk,
    approved,
    at_nonce,
    on_chain,
    sweep,
)

AGAIN = {"generation": 1, "replaces_nonce": 7, "approved_at": MONDAY + timedelta(minutes=1)}
CANCEL = CancelOrder(org_id=1, move_ids=("move-a",), chain_id=ARBITRUM, role="pool")


def test_a_payment_approved_again_gets_the_nonce_after_its_dead_one(desk: SigningDesk) -> None:
    first = desk.sign(approved())
    second = desk.sign(approved(**AGAIN), at_nonce(9))
    assert first.tx_hash != second.tx_hash
    assert on_chain(second)["nonce"] == 9
    assert on_chain(second)["data"] == on_chain(first)["data"]


@pytest.mark.parametrize("restart", [False, True])
def test_nothing_of_the_first_approval_is_signed_after_the_second(
    desk: SigningDesk, *, restart: bool
) -> None:
    desk.sign(approved())
    desk.sign(approved(**AGAIN), at_nonce(9))
    if restart:
        desk.start()
    for order in (approved(), approved(**AGAIN)):
        for terms in (TERMS, replace(TERMS, max_fee_wei=30_000_000), at_nonce(10)):
            refused = desk.refuses(Code.MOVE_SIGNED, order, terms)
            assert refused.nonce == 9


@pytest.mark.parametrize(
    "warrant",
    [
        {"generation": 1, "replaces_nonce": 6},
        {"generation": 1, "replaces_nonce": None},
        {"generation": 1, "replaces_nonce": 8},
        {},
    ],
    ids=["an older nonce", "no nonce", "another nonce", "no second approval"],
)
def test_a_second_approval_names_the_nonce_that_is_dead(
    desk: SigningDesk, warrant: dict[str, int | None]
) -> None:
    first = desk.sign(approved())
    refused = desk.refuses(Code.MOVE_SIGNED, approved(**warrant), at_nonce(9))
    assert (refused.nonce, refused.tx_hashes) == (7, (first.tx_hash,))


def test_a_second_nonce_comes_after_the_dead_one(desk: SigningDesk) -> None:
    desk.sign(approved())
    desk.refuses(Code.MOVE_SIGNED, approved(**AGAIN), at_nonce(6))


def test_a_second_approval_is_used_once(desk: SigningDesk) -> None:
    desk.sign(approved())
    desk.sign(approved(**AGAIN), at_nonce(9))
    assert desk.refuses(Code.MOVE_SIGNED, approved(**AGAIN), at_nonce(11)).nonce == 9
    third = approved(generation=2, replaces_nonce=9)
    desk.sign(third, at_nonce(11))


def test_the_generation_is_sealed(desk: SigningDesk) -> None:
    desk.sign(approved())
    edits: list[dict[str, int | None]] = [{"generation": 1, "replaces_nonce": 7}, {"generation": 1}]
    for edit in edits:
        desk.refuses(Code.WARRANT, replace(approved(), **edit), at_nonce(9))
    again = approved(**AGAIN)
    edits = [{"generation": 2}, {"replaces_nonce": 8}, {"replaces_nonce": None}]
    for edit in edits:
        desk.refuses(Code.WARRANT, replace(again, **edit), at_nonce(9))
    desk.refuses(Code.POLICY, replace(approved(), replaces_nonce=7), at_nonce(9))


def test_a_signature_that_got_lost_is_given_again_whatever_approval_asks(desk: SigningDesk) -> None:
    lost = desk.sign(approved())
    assert desk.sign(approved(generation=1), TERMS) == lost
    desk.refuses(Code.MOVE_SIGNED, approved(generation=1), at_nonce(8))


def test_a_payment_that_was_never_signed_is_approved_again_after_a_week(desk: SigningDesk) -> None:
    desk.clock.at += timedelta(days=8)
    desk.refuses(Code.WARRANT, approved())
    desk.sign(approved(generation=1, approved_at=desk.clock.at))


def test_a_lost_nonce_is_used_up_by_sending_nothing_to_oneself(desk: SigningDesk) -> None:
    desk.sign(approved())
    fields = on_chain(desk.sign(CANCEL))
    assert HexBytes(fields["to"]).hex() == desk.wallets.pool[2:]
    assert (fields["nonce"], fields["value"], bytes(fields["data"])) == (7, 0, b"")
    dearer = desk.sign(CANCEL, replace(TERMS, max_fee_wei=30_000_000))
    assert on_chain(dearer)["maxFeePerGas"] == 30_000_000


@pytest.mark.parametrize("restart", [False, True])
def test_a_cancelled_payment_has_still_had_its_nonce(desk: SigningDesk, *, restart: bool) -> None:
    desk.sign(approved())
    cancelled = desk.sign(CANCEL)
    if restart:
        desk.start()
    assert desk.refuses(Code.MOVE_SIGNED, approved(), at_nonce(8)).nonce == 7
    assert desk.sign(CANCEL) == cancelled
    assert desk.sign(approved()).tx_hash != cancelled.tx_hash
    desk.sign(approved(**AGAIN), at_nonce(8))


def test_only_a_nonce_that_was_signed_is_cancelled_and_only_for_its_moves(
    desk: SigningDesk,
) -> None:
    assert "nothing to cancel" in desk.refuses(Code.POLICY, CANCEL).reason
    desk.sign(approved())
    desk.refuses(Code.NONCE_TAKEN, replace(CANCEL, move_ids=("move-b",)))
    desk.refuses(Code.POLICY, CANCEL, at_nonce(8))
    for elsewhere in (
        replace(CANCEL, role="operator"),
        replace(CANCEL, role="gas"),
        replace(CANCEL, chain_id=10),
        replace(CANCEL, org_id=2),
    ):
        desk.refuses(Code.POLICY, elsewhere)
    desk.refuses(Code.FEE, CANCEL, replace(TERMS, max_fee_wei=10**12))


def test_a_lost_sweep_is_cancelled_by_the_operator(desk: SigningDesk) -> None:
    batch = sweep(desk)
    desk.sign(batch)
    cancelled = desk.sign(replace(CANCEL, role="operator", move_ids=batch.move_ids))
    assert cancelled.sender == desk.wallets.operator
    desk.sign(batch, at_nonce(8))


def test_what_took_a_nonce_is_told_with_its_hashes(desk: SigningDesk) -> None:
    first = desk.sign(approved())
    dearer = desk.sign(approved(), replace(TERMS, max_fee_wei=30_000_000))
    refused = desk.refuses(Code.NONCE_TAKEN, approved(move_id="move-b"))
    assert refused.tx_hashes == (first.tx_hash, dearer.tx_hash)
    assert refused.answer().tx_hashes == refused.tx_hashes


def test_what_was_remembered_before_there_were_second_approvals_is_read() -> None:
    line = (
        b'{"at":"2026-03-02T09:30:00Z","org_id":1,"kind":"pay","chain_id":42161,"sender":"0x11",'
        b'"nonce":7,"move_ids":["move-a"],"repeatable":false,"digest":"d","spent":"5","terms":'
        b'{"nonce":7,"gas_limit":1,"max_fee_wei":1,"tip_wei":1},"tx_hash":"0x22"}'
    )
    read = msgspec.json.decode(line, type=Entry)
    assert (read.cancels, read.generation, read.replaces_nonce) == (False, 0, None)
