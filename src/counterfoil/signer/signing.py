"""The signer itself: check, recall, sign, remember, answer."""

from typing import Protocol

from msgspec.structs import replace

from counterfoil.chains.evm.addresses import ZERO_ADDRESS
from counterfoil.core.ports import Clock
from counterfoil.core.warrant import KEY_BYTES
from counterfoil.signer.memory import Entry, Lineage, Memory
from counterfoil.signer.orders import (
    Branch,
    CancelChildOrder,
    CancelOrder,
    ChildOrder,
    NonceUse,
    Order,
    PayOrder,
    Role,
    Signed,
    TxTerms,
    WalletAddresses,
    moves_of,
)
from counterfoil.signer.payload import Payload, accept, factory_terms, rebuild, sender_of
from counterfoil.signer.policy import (
    Limits,
    check_child,
    check_fresh,
    check_fuel_day,
    check_order,
    check_remembered,
    repeatable,
)
from counterfoil.signer.refusals import MemoryBroken


class Keys(Protocol):
    """Whatever holds keys; the signer never sees one."""

    @property
    def fingerprint(self) -> str:
        """Tells the seed from any other."""
        ...

    def address(self, org_id: int, role: Role) -> str:
        """A wallet's address, lower-case."""
        ...

    def branch(self, org_id: int) -> Branch:
        """The public key and chain code below which the children hang."""
        ...

    def child_address(self, org_id: int, number: int) -> str:
        """A child's address, derived from its own private key, lower-case."""
        ...

    def sign(self, org_id: int, payload: Payload, terms: TxTerms) -> bytes:
        """A signed EIP-1559 transaction; the same input gives the same bytes."""
        ...


class Signer:
    """Signs orders for every organisation of one seed.

    `sign` awaits nothing, so that on an event loop no two signings overlap and neither a
    nonce nor a cap can be taken twice.
    """

    def __init__(
        self, keys: Keys, memory: Memory, approval_key: bytes, limits: Limits, clock: Clock
    ) -> None:
        """Take the keys and the open memory.

        Raises `MemoryBroken` when the memory is of other keys, and ``ValueError`` for a short
        approval key.
        """
        if len(approval_key) < KEY_BYTES:
            msg = (
                f"the approval key must have at least {KEY_BYTES} bytes,"
                f" this one has {len(approval_key)}"
            )
            raise ValueError(msg)
        self._origin = memory.origin_for(keys.fingerprint)
        self._keys = keys
        self._memory = memory
        self._approval_key = approval_key
        self._limits = limits
        self._clock = clock
        self._wallets: dict[int, WalletAddresses] = {}

    @property
    def ok(self) -> bool:
        """Whether it could sign."""
        return self._memory.writable

    def addresses(self, org_id: int) -> WalletAddresses:
        """The organisation's wallets and its factory's address."""
        found = self._wallets.get(org_id)
        if found is None:
            found = self._wallets[org_id] = self._derive(org_id)
        return found

    def branch(self, org_id: int) -> Branch:
        """The organisation's extended public key for deposits."""
        return self._keys.branch(org_id)

    def child_address(self, org_id: int, number: int) -> str:
        """The address of a child key."""
        return self._keys.child_address(org_id, number)

    def use_of(self, chain_id: int, sender: str, nonce: int) -> NonceUse:
        """What was signed with a nonce of a wallet."""
        return self._memory.use_of(chain_id, sender, nonce)

    def sign(self, order: Order, terms: TxTerms) -> Signed:
        """Sign ``order``, or refuse with `SignerRefused`.

        The same order on the same terms gives the same bytes at any time later. On other
        terms and the same nonce it gives a sibling. The signature is on the disk before it
        is returned.
        """
        wallets = self.addresses(order.org_id)
        check_order(order, terms, wallets, self._limits, self._approval_key)
        if isinstance(order, ChildOrder):
            check_child(order, self._keys.child_address(order.org_id, order.number))
        payload = rebuild(order, wallets)
        entry = self._entry(order, terms, payload, sender_of(payload, wallets))
        lineage = self._memory.recall(entry)
        if lineage is None:
            entry = self._counted(order, entry)
        raw = self._keys.sign(order.org_id, payload, terms)
        signed = accept(raw, payload, terms, entry.sender)
        self._remember(replace(entry, tx_hash=signed.tx_hash), lineage)
        return signed

    def _derive(self, org_id: int) -> WalletAddresses:
        roles: tuple[Role, ...] = ("operator", "pool", "hold", "gas", "admin")
        addresses = {role: self._keys.address(org_id, role) for role in roles}
        wallets = WalletAddresses(**addresses, factory=ZERO_ADDRESS)
        return replace(wallets, factory=factory_terms(wallets).address)

    def _entry(self, order: Order, terms: TxTerms, payload: Payload, sender: str) -> Entry:
        return Entry(
            at=self._clock.now(),
            org_id=order.org_id,
            kind=str(order.__struct_config__.tag),
            chain_id=payload.chain_id,
            sender=sender,
            nonce=terms.nonce,
            move_ids=moves_of(order),
            repeatable=repeatable(order),
            digest=payload.digest,
            spent="0",
            terms=terms,
            tx_hash="",
            cancels=isinstance(order, CancelOrder | CancelChildOrder),
            generation=order.generation if isinstance(order, PayOrder) else 0,
            replaces_nonce=order.replaces_nonce if isinstance(order, PayOrder) else None,
        )

    def _counted(self, order: Order, entry: Entry) -> Entry:
        check_remembered(order, self._origin, entry.at)
        today = entry.at.date()
        spent = self._memory.spent(entry.org_id, today)
        handed_wei = self._memory.fuel_wei(entry.org_id, entry.chain_id, today)
        return replace(
            entry,
            spent=str(check_fresh(order, spent, self._limits, entry.at)),
            fuel_wei=str(check_fuel_day(order, handed_wei, self._limits, entry.at)),
        )

    def _remember(self, entry: Entry, lineage: Lineage | None) -> None:
        signed = (lineage.cancels if entry.cancels else lineage.hashes) if lineage else {}
        known = signed.get(entry.terms)
        if known is None:
            self._memory.remember(entry)
        elif known != entry.tx_hash:
            msg = f"signing {entry.move_ids[0]} again gave {entry.tx_hash} instead of {known}"
            raise MemoryBroken(msg)
