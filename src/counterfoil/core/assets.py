"""The chains and tokens we know (specs/chains.md 7). Contracts decide; symbols are labels."""

from dataclasses import dataclass
from typing import Final, Literal

from counterfoil.core.money import Asset

Family = Literal["evm"]


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain: our key for it, its ids, and where people look things up.

    ``accepted`` are the tokens an invoice may ask for; it may ask for ``native``, the chain's own
    coin, as well. ``known_other`` are real tokens that
    payers confuse with them (bridged forms); they are recognised and flagged, never credited.
    """

    key: str
    name: str
    family: Family
    chain_id: int
    block_seconds: float
    native: Asset
    accepted: tuple[Asset, ...]
    known_other: tuple[Asset, ...]
    explorer: str

    @property
    def payable(self) -> tuple[Asset, ...]:
        """Everything that an invoice may ask for."""
        return (*self.accepted, self.native)


def _chain(  # noqa: PLR0913 - one argument per column of the table below
    key: str,
    name: str,
    chain_id: int,
    block_seconds: float,
    explorer: str,
    *,
    usdc: str,
    usdt: str,
    others: dict[str, str],
) -> Chain:
    return Chain(
        key=key,
        name=name,
        family="evm",
        chain_id=chain_id,
        block_seconds=block_seconds,
        native=Asset("ETH", key, "", 18),
        accepted=(Asset("USDC", key, usdc.lower(), 6), Asset("USDT", key, usdt.lower(), 6)),
        known_other=tuple(Asset(symbol, key, a.lower(), 6) for symbol, a in others.items()),
        explorer=explorer,
    )


CHAINS: Final = {
    chain.key: chain
    for chain in (
        _chain(
            "arb",
            "Arbitrum One",
            42161,
            0.25,
            "https://arbiscan.io",
            usdc="0xaf88d065e77c8cC2239327C5EDb3A432268e5831",
            usdt="0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9",
            others={"USDC.e": "0xFF970A61A04b1cA14834A43f5dE4533eBDDB5CC8"},
        ),
        _chain(
            "base",
            "Base",
            8453,
            2.0,
            "https://basescan.org",
            usdc="0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
            usdt="0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2",
            others={"USDbC": "0xd9aAEc86B65D86f6A7B5B1b0c42FFA531710b6CA"},
        ),
        _chain(
            "optimism",
            "Optimism",
            10,
            2.0,
            "https://optimistic.etherscan.io",
            usdc="0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85",
            usdt="0x94b008aA00579c1307B0EF2c499aD98a8ce58e58",
            others={
                "USDC.e": "0x7F5c764cBc14f9669B88837ca1490cCa17c31607",
                "USDT0": "0x01bFF41798a0BcF287b996046Ca68b395DbC1071",
            },
        ),
    )
}

ALIASES: Final = {"arbitrum": "arb", "op": "optimism"}
"""Other names that clients use for our chain keys (specs/kryptogo.md C.1)."""

SYMBOLS: Final = ("USDC", "USDT", "ETH")

PEGGED_TO: Final = {"USDC.e": "USDC", "USDbC": "USDC", "USDT0": "USDT"}
"""What a known other token is worth as much as, where it is only weighed and not priced."""


ETHER_DOLLARS: Final = 10_000
"""What an ether is taken for where caution alone asks: more than it ever cost."""

FUEL_DAY_WEI: Final = 10**18
"""What a gas station hands out in a day, of an organisation on a chain, where no setting says
otherwise: a hundred times what a busy one needs, and less than somebody could burn who makes us pay
for gas without end."""

TOP_LEVEL: Final = -1
"""The log index of native coin that a transaction paid by itself: coin writes no log, and logs
count from 0. What contracts paid inside it has -2 and below."""


def find_chain(name: str) -> Chain | None:
    """The chain under its key or an alias, or None."""
    return CHAINS.get(ALIASES.get(name, name))


def accepted_asset(chain: Chain, symbol: str) -> Asset | None:
    """The token contract, or the coin, that an invoice asking for ``symbol`` on ``chain`` means."""
    return next((a for a in chain.payable if a.symbol == symbol), None)


def known_asset(chain: str, contract: str) -> Asset | None:
    """The registered asset behind a contract, accepted or not; None for a stranger.

    The empty contract is the chain's own coin.
    """
    return _BY_CONTRACT[chain].get(contract)


_BY_CONTRACT: Final = {
    key: {a.contract: a for a in (chain.native, *chain.accepted, *chain.known_other)}
    for key, chain in CHAINS.items()
}
