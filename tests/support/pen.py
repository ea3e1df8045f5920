"""`Pen`: a signer that has the wallets of the books, without a process or a key behind it.

`Remembering` is one that knows what it signed.
"""

from pathlib import Path
from uuid import UUID

from msgspec import structs

from counterfoil.books import orgs
from counterfoil.desk.desk import Desk
from counterfoil.signer.client import SignerClient, SignerRefused
from counterfoil.signer.orders import (
    KnownSignature,
    NonceUse,
    Order,
    Signed,
    TxTerms,
    WalletAddresses,
)
from counterfoil.signer.wire import Code
from support.till import fresh_hash

LIMITS = TxTerms(nonce=0, gas_limit=100_000, max_fee_wei=10**9, tip_wei=10**6)


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


class Remembering(Pen):
    """Tells what it signed with each nonce.

    Whatever was signed with an earlier nonce it refuses now, unless it is ``willing``: its limits
    are lower than they were.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.uses: dict[int, NonceUse] = {}
        self.signed: list[int] = []
        self.willing = False

    def signed_before(self, nonce: int, move_id: UUID, tx_hash: str) -> None:
        known = KnownSignature(structs.replace(LIMITS, nonce=nonce), tx_hash)
        self.uses[nonce] = NonceUse((str(move_id),), (known,))

    async def use_of(self, chain_id: int, sender: str, nonce: int) -> NonceUse:
        del chain_id, sender
        return self.uses.get(nonce, NonceUse())

    async def sign(self, order: Order, terms: TxTerms) -> Signed:
        if terms.nonce in self.uses:
            if self.willing:
                (known,) = self.uses[terms.nonce].signed
                return Signed(b"bytes", known.tx_hash, (await self.addresses(order.org_id)).pool)
            raise SignerRefused(Code.FEE, "that is more than may be paid for gas now")
        self.signed.append(terms.nonce)
        return Signed(b"bytes", fresh_hash(), (await self.addresses(order.org_id)).pool)
