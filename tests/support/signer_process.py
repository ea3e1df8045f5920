"""The signer's process in a test: its socket, its sealed seed, and a payment to sign."""

import asyncio
import hashlib
import hmac
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as but
from datetime import UTC, datetime

from Crypto.Cipher import ChaCha20_Poly1305
from msgspec.structs import replace

from counterfoil.core.warrant import Warrant, seal_warrant
from counterfoil.signer.client import SignerClient
from counterfoil.signer.orders import PayOrder, TxTerms, pay_order
from counterfoil.signer.service import SignerConfig, serve
from support.patience import patiently

PHRASE = "legal winner thank year wave sausage worth useful " * 2 + (
    "legal winner thank year wave sausage worth title"
)
PASSPHRASE = "correct horse battery staple"
APPROVAL_KEY = bytes(range(32))
MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TERMS = TxTerms(nonce=0, gas_limit=90_000, max_fee_wei=20_000_000, tip_wei=1_000_000)
WARRANT = Warrant(
    org_id=1,
    move_id="move-0",
    purpose="payout",
    chain="arb",
    contract="0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9",
    destination="0x" + "ab" * 20,
    amount_units=3_000_000_000,
    approved_by="user_reviewer",
    approved_at=MONDAY,
)


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return MONDAY

    def monotonic(self) -> float:
        return 0.0


def cheaply_sealed(content: bytes, passphrase: str = PASSPHRASE) -> bytes:
    """An age file like any other, but with 2 rounds of scrypt where age takes 2^18.

    Written from https://age-encryption.org/v1; it keeps a second per start out of the tests.
    """

    def unpadded(data: bytes) -> bytes:
        return b64encode(data).rstrip(b"=")

    def derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
        extracted = hmac.digest(salt or bytes(32), secret, "sha256")
        return hmac.digest(extracted, info + b"\1", "sha256")

    def encrypted(key: bytes, nonce: bytes, text: bytes) -> bytes:
        return b"".join(ChaCha20_Poly1305.new(key=key, nonce=nonce).encrypt_and_digest(text))

    salt, file_key, payload_nonce = bytes(16), bytes(range(16)), bytes(16)
    labelled = b"age-encryption.org/v1/scrypt" + salt
    wrap_key = hashlib.scrypt(passphrase.encode(), salt=labelled, n=2, r=8, p=1, dklen=32)
    header = b"age-encryption.org/v1\n-> scrypt %b 1\n%b\n---" % (
        unpadded(salt),
        unpadded(encrypted(wrap_key, bytes(12), file_key)),
    )
    mac = hmac.digest(derived(file_key, b"", b"header"), header, "sha256")
    last_chunk = bytes(11) + b"\1"
    body = encrypted(derived(file_key, payload_nonce, b"payload"), last_chunk, content)
    return header + b" " + unpadded(mac) + b"\n" + payload_nonce + body


@asynccontextmanager
async def running(config: SignerConfig) -> AsyncIterator[SignerClient]:
    stop = asyncio.Event()
    process = asyncio.create_task(serve(config, Noon(), stop))
    try:
        async with patiently("the signer's socket"):
            while not config.socket_path.exists() and not process.done():
                await asyncio.sleep(0.01)
        yield SignerClient(config.socket_path)
    finally:
        stop.set()
        async with patiently("the signer's end"):
            await process


def payment(number: int = 0) -> PayOrder:
    warrant = but(WARRANT, move_id=f"move-{number}")
    return pay_order(warrant, seal_warrant(warrant, APPROVAL_KEY))


def at_nonce(nonce: int) -> TxTerms:
    return replace(TERMS, nonce=nonce)
