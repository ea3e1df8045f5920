"""Whether a surplus goes back to where it came from."""

import pytest

from counterfoil.core.homeward import Origin, origin
from counterfoil.core.money import Asset, Money
from counterfoil.core.reckoning import Depth, Received
from support.invoices import CUSTOMER, DUE, NOON, STRANGER, USDC, USDT

USDT_ON_BASE = Asset("USDT", "base", "0x" + "fd" * 20, 6)


def came(
    units: int, payer: str = CUSTOMER, asset: Asset = USDT, depth: Depth = Depth.FINAL
) -> Received:
    return Received(asset, units, payer, depth, NOON)


BIG = came(DUE + 50)


@pytest.mark.parametrize(
    ("goes", "address", "arrived"),
    [
        (True, CUSTOMER, [BIG]),
        (True, CUSTOMER, [came(30), came(20), came(DUE, STRANGER)]),
        (False, STRANGER, [BIG]),
        # Whoever sends a cent to become one of the payers gets a cent.
        (False, STRANGER, [BIG, came(49, STRANGER)]),
        (False, STRANGER, [BIG, came(50, STRANGER, USDC)]),
        (False, STRANGER, [BIG, came(50, STRANGER, USDT_ON_BASE)]),
        (False, STRANGER, [BIG, came(50, STRANGER, depth=Depth.ORPHANED)]),
        (False, STRANGER, [BIG, came(50, STRANGER, depth=Depth.SAFE)]),
    ],
)
def test_an_address_gets_back_at_most_what_it_sent_itself(
    goes: bool,  # noqa: FBT001 - a column of the table
    address: str,
    arrived: list[Received],
) -> None:
    assert (origin([Money(50, USDT)], address, arrived, []) is Origin.HOME) is goes


def test_what_went_back_there_before_does_not_go_back_twice() -> None:
    back = [Money(50, USDT)]
    assert origin(back, CUSTOMER, [came(90)], [Money(40, USDT)]) is Origin.HOME
    assert origin(back, CUSTOMER, [came(90)], [Money(41, USDT)]) is Origin.IN_PART


def test_each_token_that_goes_back_has_to_have_come_from_there() -> None:
    back = [Money(50, USDT), Money(1, USDC)]
    assert origin(back, CUSTOMER, [BIG], []) is Origin.IN_PART
    assert origin(back, CUSTOMER, [BIG, came(1, asset=USDC)], []) is Origin.HOME
