"""Warrants: what a human approved to be paid, sealed so that a database write cannot forge it.

The web process seals a warrant when somebody approves a payout or a refund. The signer
checks it again before it signs. Both know the approval key; the database does not
(specs/chains.md 8.1, specs/reliability.md T5).
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

KEY_BYTES: Final = 32
"""The shortest approval key we accept, the length of the hash it drives (RFC 2104 section 3)."""

Purpose = Literal["payout", "refund"]

_DOMAIN: Final = "counterfoil.warrant.1"


@dataclass(frozen=True, slots=True)
class Warrant:
    """One approved payment, down to the last base unit.

    ``chain`` is our key of the chain; ``contract`` and ``destination`` are lower-case
    0x addresses; ``approved_by`` names the member; ``approved_at`` is aware UTC.
    ``generation`` counts how often the payment was approved again; ``replaces_nonce`` is the
    nonce that an earlier approval was signed with and that is known to be dead, None where none
    was signed (docs/decisions/0011). ``from_hold``: it leaves from the hold wallet, which only a
    refund may (docs/decisions/0020).
    Raises ``ValueError`` for a value that no approval could have produced.
    """

    org_id: int
    move_id: str
    purpose: Purpose
    chain: str
    contract: str
    destination: str
    amount_units: int
    approved_by: str
    approved_at: datetime
    generation: int = 0
    replaces_nonce: int | None = None
    from_hold: bool = False

    def __post_init__(self) -> None:
        """Refuse what could be read in two ways, or pays nothing."""
        if self.purpose not in get_args(Purpose):
            msg = f"a warrant is for one of {get_args(Purpose)}, not {self.purpose!r}"
            raise ValueError(msg)
        if self.amount_units <= 0:
            msg = f"a warrant pays at least one base unit, not {self.amount_units}"
            raise ValueError(msg)
        if self.generation < 0 or (self.generation == 0 and self.replaces_nonce is not None):
            msg = f"a first approval replaces nothing; generation {self.generation} cannot be"
            raise ValueError(msg)
        if self.from_hold and self.purpose != "refund":
            msg = f"only a refund leaves from the hold wallet, not a {self.purpose}"
            raise ValueError(msg)
        if self.approved_at.utcoffset() != timedelta(0):
            msg = f"approved_at must be aware UTC, not {self.approved_at!r}"
            raise ValueError(msg)

    def canonical(self) -> bytes:
        """The one byte string that stands for this warrant.

        JSON with sorted keys, no blanks, ASCII only and every number as text, so that no
        two warrants share it and no reader rounds it. The domain keeps a seal made here
        from meaning anything elsewhere, and carries the version.
        """
        fields = {
            "domain": _DOMAIN,
            "org_id": str(self.org_id),
            "move_id": self.move_id,
            "purpose": self.purpose,
            "chain": self.chain,
            "contract": self.contract,
            "destination": self.destination,
            "amount_units": str(self.amount_units),
            "approved_by": self.approved_by,
            "approved_at": self.approved_at.astimezone(UTC).isoformat(timespec="microseconds"),
        }
        if self.generation:
            # Seals of first approvals stay what they were before there were second ones.
            fields["generation"] = str(self.generation)
            fields["replaces_nonce"] = (
                "" if self.replaces_nonce is None else str(self.replaces_nonce)
            )
        if self.from_hold:
            fields["from_hold"] = "1"
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def seal_warrant(warrant: Warrant, key: bytes) -> str:
    """Seal a warrant: HMAC-SHA256 over its canonical bytes, in lower-case hex.

    Raises ``ValueError`` when ``key`` is shorter than `KEY_BYTES`, an empty one above all.
    """
    return seal_with(key, warrant.canonical())


def seal_with(key: bytes, content: bytes) -> str:
    """HMAC-SHA256 over bytes that name what they are for, in lower-case hex.

    Raises ``ValueError`` as `seal_warrant` does.
    """
    if len(key) < KEY_BYTES:
        msg = f"the approval key must have at least {KEY_BYTES} bytes, this one has {len(key)}"
        raise ValueError(msg)
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def check_warrant(warrant: Warrant, seal: str, key: bytes) -> bool:
    """Whether ``seal`` was made for exactly this warrant with this key, in constant time.

    Raises ``ValueError`` for a short key, as `seal_warrant` does.
    """
    # Bytes, because compare_digest raises TypeError for text outside ASCII.
    return hmac.compare_digest(seal_warrant(warrant, key).encode(), seal.encode(errors="replace"))
