"""Whether a token's issuer has frozen an address, asked of the token contract itself.

Rule R1 of specs/aml.md 3. A frozen address is on no list, yet its money must not move on.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from counterfoil.core.assets import CHAINS
from counterfoil.core.ports import Clock
from counterfoil.core.risk_facts import AddressRisk, Hit, Severity
from counterfoil.providers.screening.port import AddressQuery, ScreeningUnavailable

Call = Callable[[str, bytes], Awaitable[bytes | None]]
"""``await call(contract, data)``: what the contract returned, None when it reverted."""

IS_BLACKLISTED: Final = bytes.fromhex("fe575a87")
"""``isBlacklisted(address)``, of USDC."""
IS_BLACK_LISTED: Final = bytes.fromhex("e47d6060")
"""``isBlackListed(address)``, of the first USDT."""
IS_BLOCKED: Final = bytes.fromhex("fbac3951")
"""``isBlocked(address)``, of the later, bridgeable USDT."""

_ZERO: Final = bytes(32)
_ONE: Final = (1).to_bytes(32, "big")


@dataclass(frozen=True, slots=True)
class FreezableToken:
    """A token contract with the freeze questions it may understand, asked in this order.

    ``may_lack_one``: some bridged forms have no freeze function at all, so silence from them
    is an answer. From any other contract it is a failure.
    """

    symbol: str
    contract: str
    questions: tuple[bytes, ...]
    may_lack_one: bool = False


def _freezable(chain: str) -> tuple[FreezableToken, ...]:
    contracts = {asset.symbol: asset.contract for asset in CHAINS[chain].accepted}
    return (
        FreezableToken("USDC", contracts["USDC"], (IS_BLACKLISTED,)),
        FreezableToken(
            "USDT",
            contracts["USDT"],
            (IS_BLOCKED, IS_BLACK_LISTED),
            # Base and Optimism carry USDT as a plain bridged token that nobody can freeze.
            may_lack_one=chain != "arb",
        ),
    )


FREEZABLE: Final[Mapping[str, tuple[FreezableToken, ...]]] = MappingProxyType(
    {chain: _freezable(chain) for chain in CHAINS}
)
"""The tokens to ask, by chain; every accepted one, since the payer may hold any of them."""


class IssuerFreezeScreener:
    """Asks each token of the chain; one frozen balance is a hard hit."""

    code = "issuer_freeze"

    def __init__(
        self,
        calls: Mapping[str, Call],
        clock: Clock,
        tokens: Mapping[str, tuple[FreezableToken, ...]] = FREEZABLE,
    ) -> None:
        """Ask through ``calls``, one per chain; they raise whatever the chain port raises."""
        self._calls = calls
        self._clock = clock
        self._tokens = tokens

    async def screen_address(self, query: AddressQuery) -> AddressRisk:
        """Ask every token of ``query.chain``; raises `ScreeningUnavailable` without an answer."""
        if query.chain not in self._calls or query.family != "evm":
            message = f"no way to ask the issuers on {query.chain} about a {query.family} address"
            raise ScreeningUnavailable(message)
        frozen = [
            token
            for token in self._tokens[query.chain]
            if await self._is_frozen(self._calls[query.chain], token, query.address)
        ]
        return AddressRisk(
            provider=self.code,
            severity=Severity.SEVERE if frozen else Severity.NONE,
            fetched_at=self._clock.now(),
            hits=tuple(
                Hit("ISSUER_FREEZE", "issuer_freeze", label=token.symbol, source=token.contract)
                for token in frozen
            ),
            raw={"asked": [t.contract for t in self._tokens[query.chain]]},
        )

    async def _is_frozen(self, call: Call, token: FreezableToken, address: str) -> bool:
        for question in token.questions:
            answer = await self._ask(call, token, question + _word(address))
            if answer:
                return _truth(answer, token)
        if token.may_lack_one:
            return False
        message = f"{token.symbol} at {token.contract} answers no freeze question"
        raise ScreeningUnavailable(message)

    async def _ask(self, call: Call, token: FreezableToken, data: bytes) -> bytes | None:
        try:
            return await call(token.contract, data)
        except Exception as error:
            # The caller's chain may fail in ways this layer cannot name; all mean "no answer".
            message = f"{token.symbol} at {token.contract}: {error}"
            raise ScreeningUnavailable(message) from error


def _word(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x")).rjust(32, b"\0")


def _truth(answer: bytes, token: FreezableToken) -> bool:
    if answer not in (_ZERO, _ONE):
        message = f"{token.symbol} at {token.contract} answered {answer.hex()[:80]}, not yes or no"
        raise ScreeningUnavailable(message)
    return answer == _ONE
