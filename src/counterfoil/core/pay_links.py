"""Addresses of payment pages: one per invoice, unguessable, and nowhere stored.

The name in an address says which invoice is meant and proves it with 128 bits of an HMAC, so that a
copy of the database opens no page. The addresses to pay to are part of what is proved: a link that
was handed out never shows others, whoever changes the row (specs/reliability.md 2.3 T29, T30).
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final
from uuid import UUID

from counterfoil.core.invoice import Invoice

PREFIX: Final = "/pay"

_PURPOSE: Final = b"counterfoil.pay.1"
_ORG_BYTES: Final = 8
_ID_BYTES: Final = 16
_PROOF_BYTES: Final = 16


class PayLinks:
    """Makes the addresses and knows them again."""

    def __init__(self, key: bytes, base_url: str) -> None:
        """Derive a key of its own from ``key``; ``base_url`` is where payers reach us."""
        self._key = hmac.new(key, _PURPOSE, hashlib.sha256).digest()
        self._base_url = base_url.rstrip("/")

    def address(self, invoice: Invoice) -> str:
        """Where the invoice's customer pays."""
        return f"{self._base_url}{PREFIX}/{self.token(invoice)}"

    def token(self, invoice: Invoice) -> str:
        """The invoice's name in addresses: 54 characters of base64url."""
        named = invoice.org_id.to_bytes(_ORG_BYTES, "big") + invoice.invoice_id.bytes
        places = f"{invoice.deposit_address}|{invoice.hd_address or ''}".encode()
        proof = hmac.new(self._key, named + places, hashlib.sha256).digest()[:_PROOF_BYTES]
        return base64.urlsafe_b64encode(named + proof).rstrip(b"=").decode("ascii")

    def fits(self, token: str, invoice: Invoice) -> bool:
        """Whether this very text names the invoice, as it is."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token(invoice).encode())


def claimed(token: str) -> tuple[int, UUID] | None:
    """The organisation and invoice that a name claims to be of; None for what is no name.

    Nothing is proved by that: only `PayLinks.fits` knows.
    """
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _ORG_BYTES + _ID_BYTES + _PROOF_BYTES or raw[0] > 0x7F:  # noqa: PLR2004 - bigint
        return None
    org_id = int.from_bytes(raw[:_ORG_BYTES], "big")
    return org_id, UUID(bytes=raw[_ORG_BYTES : _ORG_BYTES + _ID_BYTES])
