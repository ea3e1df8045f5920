"""`Pen`: a signer that has the wallets of the books, without a process or a key behind it."""

from pathlib import Path

from counterfoil.books import orgs
from counterfoil.desk.desk import Desk
from counterfoil.signer.client import SignerClient
from counterfoil.signer.orders import WalletAddresses


class Pen(SignerClient):
    """Tells every organisation's wallets as the books have them; what else it does, a test says."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(Path("/nowhere"))
        self._desk = desk

    async def addresses(self, org_id: int) -> WalletAddresses:
        async with self._desk.database.reading() as tx:
            org = await orgs.get(tx, org_id)
        assert org is not None
        return WalletAddresses(
            factory=org.factory_address,
            operator=org.operator_address,
            pool=org.pool_address,
            hold=org.hold_address,
            gas=org.gas_address,
            admin=org.gas_address,
        )
