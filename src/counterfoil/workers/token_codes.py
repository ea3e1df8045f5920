"""Looks what each registered token runs, every few minutes and apart from everything else.

The chain's two views are asked, as a node that lags or lies would hide a change
(specs/chains.md 6.5).
"""

from collections.abc import Mapping

import structlog

from counterfoil.chains.port import Chain, ChainError
from counterfoil.core.assets import CHAINS
from counterfoil.desk import changed_tokens
from counterfoil.desk.changed_tokens import Told
from counterfoil.desk.desk import Desk


class TokenCodes:
    """Notices that a token was changed. Any number may run at once."""

    def __init__(self, desk: Desk, chains: Mapping[str, Chain]) -> None:
        """Look at the tokens of these chains."""
        self._desk = desk
        self._chains = chains
        self._log = structlog.get_logger(worker="token_codes")

    async def step(self) -> bool:
        """Look once at each; there is never more to do at once."""
        for chain in self._chains.values():
            for view in (chain, chain.second_view):
                await self._look(view)
        return False

    async def _look(self, chain: Chain) -> None:
        registry = CHAINS[chain.key]
        contracts = [asset.contract for asset in (*registry.accepted, *registry.known_other)]
        try:
            found = await chain.token_codes(contracts)
        except ChainError as error:
            self._log.info("token_codes_not_read", chain=chain.key, reason=str(error))
            return
        told = [Told(one.contract, one.fingerprint, one.behind, one.is_there) for one in found]
        for change in await changed_tokens.tell(self._desk, chain.key, told):
            self._log.error(
                "token_changed",
                chain=chain.key,
                token=change.asset.symbol,
                contract=change.asset.contract,
                behind=change.behind,
            )
