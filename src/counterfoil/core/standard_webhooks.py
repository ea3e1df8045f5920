"""The headers of the Standard Webhooks specification, version 1.0.0, with symmetric signatures.

https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md. They go with
every callback of every dialect, in addition to the dialect's own signature.
"""

import base64
import hashlib
import hmac
from datetime import datetime


def signed_headers(secret: bytes, webhook_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers: ``webhook_id`` stays the same on every attempt, ``at`` is the attempt's.

    ``secret`` is the raw key, which merchants hold as ``whsec_`` and base64.
    """
    timestamp = str(int(at.timestamp()))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    mac = hmac.new(secret, signed, hashlib.sha256).digest()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode('ascii')}",
    }
