"""What every address screener looks like (specs/aml.md 9)."""

from dataclasses import dataclass
from typing import Protocol

from counterfoil.core.risk_facts import AddressRisk


class ScreeningUnavailable(Exception):  # noqa: N818 - the state of an outsider, not a bug of ours
    """The provider gave no answer we can trust; the payment then goes to a person."""


@dataclass(frozen=True, slots=True)
class AddressQuery:
    """The address to ask about, normalised, with the chain it paid on and its family."""

    chain: str
    family: str
    address: str


class AddressScreener(Protocol):
    """Someone who knows something about addresses.

    ``UNKNOWN`` is an answer. No answer is a `ScreeningUnavailable`, never a clean result.
    """

    code: str

    async def screen_address(self, query: AddressQuery) -> AddressRisk:
        """Ask about one address; raises `ScreeningUnavailable`."""
        ...
