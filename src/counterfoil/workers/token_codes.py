"""Looks what each registered token runs, every few minutes and apart from everything else.

The chain's two views are asked, as a node that lags or lies would hide a change
(specs/chains.md 6.5). One that has not reached our final block says nothing about tokens.
"""

from collections.abc import Mapping

import structlog

from counterfoil.chains.port import Chain, ChainError
from counterfoil.core.assets import CHAINS
from counterfoil.desk import changed_tokens, watching
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
        final = {at.chain: at.final_number for at in await watching.positions(self._desk)}
        for chain in self._chains.values():
            for view in (chain, chain.second_view):
                await self._look(view, final.get(chain.key, 0))
        return False

    async def _look(self, chain: Chain, final_number: int) -> None:
        registry = CHAINS[chain.key]
        contracts = [asset.contract for asset in (*registry.accepted, *registry.known_other)]
        try:
            found = await chain.token_codes(contracts, not_before=final_number)
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
