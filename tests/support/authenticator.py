"""`Authenticator`: what keeps passkeys, in software, and lies where a test wants it to."""

import hashlib
import html
import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from support.site import PASSWORD
from support.visitor import Page, Visitor

PRESENT: Final = 0x01
VERIFIED: Final = 0x04
ATTESTED: Final = 0x40


@dataclass
class Credential:
    """One passkey: its key, whose it is, and how often it has signed."""

    credential_id: bytes
    key: ec.EllipticCurvePrivateKey
    user_id: bytes
    count: int = 0


@dataclass
class Authenticator:
    """Answers questions as a browser would at ``origin``, with the passkeys that it keeps.

    ``flags`` are what it says of its owner; ``steps`` is how far it counts with each signature.
    """

    origin: str
    flags: int = PRESENT | VERIFIED
    steps: int = 1
    kept: list[Credential] = field(default_factory=list)

    def make(self, question: str, **lies: Any) -> str:  # noqa: ANN401 - whatever a test lies about
        """Make a passkey as a page asked for it (WebAuthn 7.1); answers what the page hands in."""
        asked = json.loads(question)
        key = ec.generate_private_key(ec.SECP256R1())
        credential_id = lies.get("credential_id") or secrets.token_bytes(32)
        credential = Credential(credential_id, key, _bytes(asked["user"]["id"]))
        self.kept.append(credential)
        numbers = key.public_key().public_numbers()
        cose = cbor2.dumps(
            {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        )
        size = len(credential.credential_id).to_bytes(2)
        attested = bytes(16) + size + credential.credential_id + cose
        said = self._said(lies.get("rp_id", asked["rp"]["id"]), ATTESTED, credential.count)
        made = {"fmt": "none", "attStmt": {}, "authData": said + attested}
        response = {
            "clientDataJSON": self._client_data("webauthn.create", asked, lies),
            "attestationObject": cbor2.dumps(made),
        }
        return _written(credential, response)

    def answer(self, question: str, **lies: Any) -> str:  # noqa: ANN401 - as above
        """Sign a challenge (WebAuthn 7.2) with the last passkey made."""
        asked = json.loads(question)
        used = self.kept[-1]
        used.count += self.steps
        said = self._said(lies.get("rp_id", asked["rpId"]), 0, used.count)
        client_data = self._client_data("webauthn.get", asked, lies)
        signed = said + hashlib.sha256(client_data).digest()
        response = {
            "clientDataJSON": client_data,
            "authenticatorData": said,
            "signature": used.key.sign(signed, ec.ECDSA(SHA256())),
            "userHandle": lies.get("user_id", used.user_id),
        }
        return _written(used, response)

    def copied(self) -> "Authenticator":
        """A thief's copy, with the same keys and counters."""
        kept = [Credential(c.credential_id, c.key, c.user_id, c.count) for c in self.kept]
        return Authenticator(self.origin, self.flags, self.steps, kept)

    def _said(self, rp_id: str, more: int, count: int) -> bytes:
        flags = (self.flags | more).to_bytes(1)
        return hashlib.sha256(rp_id.encode()).digest() + flags + count.to_bytes(4)

    def _client_data(self, kind: str, asked: dict[str, Any], lies: dict[str, Any]) -> bytes:
        told = {
            "type": lies.get("kind", kind),
            "challenge": lies.get("challenge", asked["challenge"]),
            "origin": lies.get("origin", self.origin),
            "crossOrigin": lies.get("cross_origin", False),
        }
        return json.dumps(told).encode()


def _written(credential: Credential, response: dict[str, bytes]) -> str:
    name = _text(credential.credential_id)
    parts = {key: _text(value) for key, value in response.items() if value}
    return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": parts})


def _text(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "===")


ADD: Final = "/studio/account/passkeys/add"
BEGIN: Final = "/studio/account/passkeys/begin"
SIGN_IN: Final = "/studio/sign-in/passkey"
QUESTION: Final = "/studio/account/passkeys/question"


async def question_on(visitor: Visitor, **proof: str) -> str:
    """What the browser is asked for a new passkey, once its owner has proved who they are."""
    page = await visitor.send(BEGIN, proof or {"old": PASSWORD})
    found = re.search(r'data-question="([^"]+)"', page.text)
    assert found is not None, page.words
    return html.unescape(found[1])


async def add_passkey(
    visitor: Visitor, device: Authenticator, name: str = "My telephone", **lies: object
) -> Page:
    """Add a passkey to the account of somebody who is signed in and knows the password."""
    token = (await visitor.open("/studio/account")).form_token
    made = device.make(await question_on(visitor), **lies)
    return await visitor.send(ADD, {"name": name, "made": made}, token=token)


async def sign_in_with(visitor: Visitor, device: Authenticator, **lies: object) -> Page:
    """Come in with the last passkey made, and nothing else."""
    token = (await visitor.open("/studio/sign-in")).form_token
    answer = device.answer((await visitor.open(SIGN_IN)).text, **lies)
    return await visitor.send(SIGN_IN, {"passkey": answer}, token=token)
