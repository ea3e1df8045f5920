"""Who buys what from the sandbox's merchant: invented customers, items and prices."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from random import Random
from typing import Final, Literal

from counterfoil.core.assets import CHAINS, accepted_asset
from counterfoil.core.invoice import LineItem
from counterfoil.core.money import Asset

Currency = Literal["TWD", "USD"]

SANCTIONED: Final = "0x5a9c7104ed000000000000000000000000000001"
"""On the sandbox's own sanctions list, sanctions.csv."""

SUSPECT: Final = "0x" + "c4" * 18 + "7777"
"""Of high risk to the simulated screener, as its ending says."""

PAYOUT: Final = "0x7e57000000000000000000000000000000000001"
"""The merchant's own address, to which money is paid out."""

_TWD_PER_DOLLAR: Final = 32
_LOAD: Final = (("arb", 5), ("base", 3), ("optimism", 2))


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who buys, and the address they pay from."""

    name: str
    email: str

    @property
    def address(self) -> str:
        """Theirs, on every chain; nobody has its key."""
        return address_of(self.email)


def address_of(email: str) -> str:
    """What a customer pays from."""
    return "0x" + sha256(email.encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class Item:
    """What is sold, at a price in whole dollars."""

    name: str
    dollars: int
    most: int = 1


CUSTOMERS: Final = (
    Customer("Taipei Robotics Ltd.", "accounts@taipei-robotics.example"),
    Customer("海港物流股份有限公司", "ap@harbour-logistics.example"),
    Customer("Northwind Components GmbH", "rechnung@northwind.example"),
    Customer("玉山精密工業股份有限公司", "finance@yushan-precision.example"),
    Customer("Lotus & Pine Interiors", "hello@lotus-pine.example"),
    Customer("大稻埕茶業有限公司", "service@dadaocheng-tea.example"),
    Customer("Blue Lantern Games", "billing@bluelantern.example"),
    Customer("Sunrise Bicycle Works", "orders@sunrise-bikes.example"),
    Customer("高雄海洋科技股份有限公司", "purchasing@kaohsiung-marine.example"),
    Customer("Meadowbrook Analytics Inc.", "payables@meadowbrook.example"),
    Customer("晨星生物科技有限公司", "account@morningstar-bio.example"),
    Customer("Kestrel Aerial Surveys", "office@kestrel-aerial.example"),
    Customer("Acme Buyer", "buyer@acme.example"),
    Customer("竹科軟體設計有限公司", "hi@zhuke-software.example"),
    Customer("Paper Crane Publishing", "rights@papercrane.example"),
    Customer("Harbour Street Coffee Roasters", "beans@harbourstreet.example"),
)

COLLEAGUE: Final = Customer("Somebody else's wallet", "second-wallet@acme.example")

ITEMS: Final = (
    Item("Consulting, senior engineer (day)", 620, 5),
    Item("顧問服務 (日)", 540, 4),
    Item("Annual support, standard", 1_450),
    Item("系統維護年約", 1_380),
    Item("Interface design, fixed price", 2_400),
    Item("網站改版設計", 1_950),
    Item("Data import and cleaning", 480, 3),
    Item("Precision bearing set", 85, 24),
    Item("精密軸承組", 82, 30),
    Item("Workshop for a team of ten", 1_100, 2),
    Item("Translation, English to Chinese (page)", 28, 40),
    Item("高山烏龍茶禮盒", 45, 20),
    Item("Cloud hosting (month)", 190, 6),
    Item("Freight, Taichung to Hamburg", 930),
    Item("Firmware audit", 3_200),
)


@dataclass(frozen=True, slots=True)
class Deal:
    """One sale, as the invoice will state it."""

    number: int
    customer: Customer
    items: tuple[LineItem, ...]
    currency: Currency
    asset: Asset
    any_token: bool
    to_pool: bool
    """Whether the money stays in the merchant's pool instead of being paid out."""
    told: bool
    """Whether the merchant's server is told of each change."""

    @property
    def amount(self) -> Decimal:
        """What the items add up to."""
        return sum((item.total for item in self.items), Decimal(0))


def deals(random: Random) -> Iterator[Deal]:
    """One sale after another, without end; the same ones for the same seed."""
    chains = [key for key, times in _LOAD for _ in range(times)]
    number = 0
    while True:
        number += 1
        currency: Currency = random.choice(("TWD", "TWD", "USD"))
        chosen = random.sample(ITEMS, random.choice((1, 1, 2, 3)))
        symbol = random.choice(("USDT", "USDT", "USDC"))
        asset = accepted_asset(CHAINS[random.choice(chains)], symbol)
        assert asset is not None, "the registry accepts both on every chain"  # noqa: S101 - as it says
        yield Deal(
            number=number,
            customer=random.choice(CUSTOMERS),
            items=tuple(_line(item, currency, random) for item in chosen),
            currency=currency,
            asset=asset,
            any_token=not random.randrange(5),
            to_pool=not random.randrange(7),
            told=not random.randrange(3),
        )


def _line(item: Item, currency: Currency, random: Random) -> LineItem:
    price = Decimal(item.dollars * (_TWD_PER_DOLLAR if currency == "TWD" else 1))
    quantity = Decimal(random.randint(1, item.most))
    # Business tax in Taiwan is five per cent; customers abroad are billed without.
    tax = (price * quantity / 20).to_integral_value() if currency == "TWD" else Decimal(0)
    return LineItem(name=item.name, quantity=quantity, unit_price=price, tax=tax)
