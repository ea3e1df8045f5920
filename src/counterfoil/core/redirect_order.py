"""An order that payouts go elsewhere, sealed so that a database write cannot forge it.

The invoice's log keeps orders, and whoever writes to the database can make a log that fits itself.
So an order bears a seal of the approval key as well, as a warrant does, and is approved only with
it (docs/decisions/0028-payouts-that-go-elsewhere.md).
"""

import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from counterfoil.core.warrant import seal_with

ORDERED_FOR: Final = timedelta(days=7)
"""How long an order waits for its second person, as invitations do; then it is to be given anew."""

_DOMAIN: Final = "counterfoil.redirect.1"


@dataclass(frozen=True, slots=True)
class RedirectOrder:
    """What one person wants, and another has to approve, until then.

    ``move_ids`` are the payouts that stand still, ``destination`` a lower-case 0x address and
    ``label`` how it is registered. ``by`` is the uid of who ordered it; times are aware.
    """

    org_id: int
    invoice_id: UUID
    redirect_id: UUID
    move_ids: frozenset[UUID]
    destination: str
    label: str
    reason: str
    by: str
    at: datetime
    until: datetime

    def has_run_out(self, now: datetime) -> bool:
        """Whether nobody can approve it any more."""
        return now >= self.until

    def seal(self, key: bytes) -> str:
        """HMAC-SHA256 over all of it, in lower-case hex; `ValueError` for a key that is short."""
        fields = {
            "domain": _DOMAIN,
            "org_id": str(self.org_id),
            "invoice_id": str(self.invoice_id),
            "redirect_id": str(self.redirect_id),
            "move_ids": ",".join(sorted(map(str, self.move_ids))),
            "destination": self.destination,
            "label": self.label,
            "reason": self.reason,
            "by": self.by,
            "at": _time(self.at),
            "until": _time(self.until),
        }
        return seal_with(key, json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())

    def is_sealed(self, seal: str, key: bytes) -> bool:
        """Whether ``seal`` was made for exactly this order with this key, in constant time."""
        return hmac.compare_digest(self.seal(key).encode(), seal.encode(errors="replace"))


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
