"""How much the signer pays at once and in a day, and for how long a warrant holds."""

from dataclasses import replace as replace_limits
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from counterfoil.signer.orders import FuelChildOrder, FuelOrder
from counterfoil.signer.wire import Code
from support.signing_desk import ARBITRUM, MONDAY, USDC_ON_BASE, SigningDesk, approved, at_nonce

BASE = 8453


def dollars(amount: int) -> int:
    return amount * 10**6


def test_one_move_pays_no_more_than_its_cap(desk: SigningDesk) -> None:
    most = dollars(desk.limits.move_dollars)
    assert (
        "100000 dollars at once" in desk.refuses(Code.CAP, approved(amount_units=most + 1)).reason
    )
    desk.sign(approved(amount_units=most))


def test_a_day_pays_no_more_than_its_cap_over_all_chains_and_tokens(desk: SigningDesk) -> None:
    most = dollars(desk.limits.move_dollars)
    for number in range(4):
        desk.sign(approved(move_id=f"move-{number}", amount_units=most), at_nonce(number))
    usdc = approved(
        move_id="move-4", chain="base", contract=USDC_ON_BASE, amount_units=most - dollars(1)
    )
    desk.sign(usdc, at_nonce(0))

    over = desk.refuses(Code.DAY_CAP, approved(move_id="move-5", amount_units=dollars(1) + 1))
    assert "499999 are signed already" in over.reason
    desk.sign(approved(move_id="move-5", amount_units=dollars(1)))
    desk.refuses(Code.DAY_CAP, approved(move_id="move-6", amount_units=1), at_nonce(8))


def test_what_fits_into_no_day_is_not_put_off_to_another(desk: SigningDesk) -> None:
    desk.limits = replace_limits(desk.limits, day_dollars=1_000)
    desk.start()
    never = desk.refuses(Code.CAP, approved(amount_units=dollars(1_000) + 1))
    assert "1000 dollars at once" in never.reason
    assert never.retry_at is None
    desk.sign(approved(amount_units=dollars(1_000)))


def test_an_ether_counts_for_more_than_it_ever_cost(desk: SigningDesk) -> None:
    most = desk.limits.move_dollars // desk.limits.ether_dollars * 10**18
    over = desk.refuses(Code.CAP, approved(contract="", amount_units=most + 1))
    assert "100000 dollars at once" in over.reason
    for number in range(5):
        desk.sign(
            approved(move_id=f"move-{number}", contract="", amount_units=most), at_nonce(number)
        )
    desk.refuses(Code.DAY_CAP, approved(move_id="move-5", amount_units=1), at_nonce(8))


def full_day(desk: SigningDesk) -> None:
    most = dollars(desk.limits.move_dollars)
    for number in range(5):
        desk.sign(approved(move_id=f"move-{number}", amount_units=most), at_nonce(number))


def test_the_next_day_starts_from_nothing_at_midnight_utc(desk: SigningDesk) -> None:
    full_day(desk)
    desk.clock.at = datetime(2026, 3, 2, 23, 59, 59, 999999, tzinfo=UTC)
    full = desk.refuses(Code.DAY_CAP, approved(amount_units=1))
    assert full.retry_at == datetime(2026, 3, 3, tzinfo=UTC)
    desk.clock.at = full.retry_at
    desk.sign(approved(amount_units=1))


def test_a_restart_does_not_refill_the_day(desk: SigningDesk) -> None:
    full_day(desk)
    desk.start()
    desk.refuses(Code.DAY_CAP, approved(amount_units=1))


def test_another_organisation_has_its_own_day(desk: SigningDesk) -> None:
    full_day(desk)
    desk.sign(approved(org_id=2, amount_units=1))


def test_a_sibling_does_not_count_twice(desk: SigningDesk) -> None:
    full_day(desk)
    last = approved(move_id="move-4", amount_units=dollars(desk.limits.move_dollars))
    desk.sign(last, replace(at_nonce(4), max_fee_wei=30_000_000))
    desk.sign(last, at_nonce(4))


def test_a_warrant_ages_but_not_for_what_is_signed_already(desk: SigningDesk) -> None:
    first = desk.sign(approved())
    desk.clock.at = MONDAY + timedelta(days=7)
    desk.sign(approved(move_id="move-b"), at_nonce(8))
    desk.clock.at += timedelta(seconds=1)

    late = desk.refuses(Code.WARRANT, approved(move_id="move-c"), at_nonce(9))

    assert "approve it again" in late.reason
    assert desk.sign(approved()) == first


def test_nobody_approves_in_the_future(desk: SigningDesk) -> None:
    skewed = MONDAY + timedelta(minutes=5)
    desk.sign(approved(approved_at=skewed))
    too_far = approved(move_id="move-b", approved_at=skewed + timedelta(seconds=1))
    assert "check clocks" in desk.refuses(Code.WARRANT, too_far, at_nonce(8)).reason


def fuel(
    number: int, wei: int = 5 * 10**16, chain_id: int = ARBITRUM, org_id: int = 1
) -> FuelOrder:
    return FuelOrder(
        org_id=org_id,
        move_id=f"fuel-{chain_id}-{number}",
        chain_id=chain_id,
        destination_role="pool",
        value_wei=str(wei),
    )


def test_a_station_hands_out_no_more_than_its_cap_of_the_day_on_a_chain(desk: SigningDesk) -> None:
    desk.limits = replace_limits(desk.limits, fuel_day_wei={"arb": 10**17})
    desk.start()
    desk.sign(fuel(1), at_nonce(1))
    child = FuelChildOrder(
        org_id=1,
        move_id="fuel-2",
        chain_id=ARBITRUM,
        number=3,
        child=desk.signer.child_address(1, 3),
        value_wei=str(5 * 10**16 - 1),
    )
    desk.sign(child, at_nonce(2))
    over = desk.refuses(Code.DAY_CAP, fuel(3, wei=2), at_nonce(3))
    assert "99999999999999999 are signed already" in over.reason
    assert over.retry_at == datetime(2026, 3, 3, tzinfo=UTC)
    desk.sign(fuel(3, wei=1), at_nonce(3))

    # Neither a restart refills the day, nor does a sibling of what was signed count again.
    desk.start()
    desk.refuses(Code.DAY_CAP, fuel(4, wei=1), at_nonce(4))
    desk.sign(fuel(1), replace(at_nonce(1), max_fee_wei=30_000_000))
    # Payments, other chains and other organisations have days of their own.
    desk.sign(approved(amount_units=dollars(1)))
    for number in range(20):
        desk.sign(fuel(number, chain_id=BASE), at_nonce(number))
    desk.refuses(Code.DAY_CAP, fuel(20, wei=1, chain_id=BASE), at_nonce(20))
    desk.sign(fuel(1, org_id=2), at_nonce(1))

    desk.clock.at = datetime(2026, 3, 3, tzinfo=UTC)
    desk.sign(fuel(4), at_nonce(4))
