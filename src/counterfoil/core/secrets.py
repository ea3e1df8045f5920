"""Secrets that are derived instead of stored.

One master secret stands in the settings of the processes; what each organisation needs is
computed from it when it is needed, so no table ever holds it and a copy of the database
betrays nothing.
"""

import base64
import hashlib
import hmac
from typing import Final

MASTER_BYTES: Final = 32
"""The shortest master secret we accept."""

_CALLBACK_PURPOSE: Final = b"counterfoil.callback.1"
_WEBHOOK_PREFIX: Final = "whsec_"


def callback_secret(master: bytes, org_id: int, version: int) -> bytes:
    """The 32 bytes that sign an organisation's callbacks.

    HMAC-SHA256 of purpose, organisation and version under the master secret (one block of HKDF's
    expand step, RFC 5869 section 2.3). Raise the version to retire a secret. Raises
    ``ValueError`` for a master secret that is empty or short.
    """
    if len(master) < MASTER_BYTES:
        msg = f"the master secret must have at least {MASTER_BYTES} bytes, it has {len(master)}"
        raise ValueError(msg)
    info = b"%b|%d|%d\x01" % (_CALLBACK_PURPOSE, org_id, version)
    return hmac.new(master, info, hashlib.sha256).digest()


def shown_callback_secret(secret: bytes) -> str:
    """The secret as merchants are given it: ``whsec_`` and base64 (Standard Webhooks)."""
    return _WEBHOOK_PREFIX + base64.b64encode(secret).decode("ascii")
