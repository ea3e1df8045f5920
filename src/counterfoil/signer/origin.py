"""How a memory begins: whose it is, and what was signed before it that it cannot know."""

from datetime import datetime

from msgspec import Struct

from counterfoil.signer.orders import Address, Small


class Floor(Struct, frozen=True, forbid_unknown_fields=True):
    """A wallet's nonces below ``nonce`` are used up on this chain."""

    chain_id: Small
    sender: Address
    nonce: Small


class Lost(Struct, frozen=True, forbid_unknown_fields=True):
    """What takes the place of a memory that got lost.

    Payments approved before ``approved_since`` may have been signed in it.
    """

    approved_since: datetime
    floors: tuple[Floor, ...]


class Origin(Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a memory.

    ``seed`` is the fingerprint of the seed that it was made for. ``lost`` is None for the
    memory that was made together with the seed, which has forgotten nothing.
    """

    seed: str
    at: datetime
    lost: Lost | None = None
