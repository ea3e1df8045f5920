"""How client and signer talk: frames on a Unix socket.

A frame is its length in four bytes, big-endian, and that many bytes of JSON. The client asks,
the signer answers, as often as the client likes on one connection.
"""

import asyncio
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from counterfoil.signer.orders import (
    Address,
    Branch,
    ChildNumber,
    NonceUse,
    Order,
    OrgId,
    Signed,
    Small,
    TxTerms,
    WalletAddresses,
)

MAX_FRAME_BYTES: Final = 128 * 1024
"""A full sweep of 250 salts takes about 30 kB; nothing honest is near this."""

_LENGTH_BYTES: Final = 4


class Code(StrEnum):
    """Why the signer said no.

    The same order may be asked for again after `FEE` and `DAY_CAP`, which pass by themselves,
    and after `NONCE_TAKEN` and `MOVE_SIGNED` with the nonce that follows. All others stay until
    a person changes something.
    """

    MALFORMED = "malformed"
    """Not an order at all."""
    POLICY = "policy"
    """Never signed, whoever approves it."""
    WARRANT = "warrant"
    """Not approved, or not like this, or too long ago."""
    CAP = "cap"
    """Too much for one move, on any day."""
    DAY_CAP = "day_cap"
    """Too much for today; the refusal says when the next day begins."""
    FEE = "fee"
    """The fee market asks for more than is ever paid; ask again when it has calmed down."""
    NONCE_TAKEN = "nonce_taken"
    """This nonce was signed for other moves, which the refusal names with what was signed."""
    MOVE_SIGNED = "move_signed"
    """This move was signed with another nonce, which the refusal names with what was signed."""
    BROKEN = "broken"
    """The signer cannot sign at all and needs its operator."""


class AskAddresses(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="addresses"
):
    """Which wallets does this organisation have?"""

    org_id: OrgId


class AskSign(Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="sign"):
    """Sign this order on these terms."""

    order: Order
    terms: TxTerms


class AskBranch(Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="branch"):
    """Below which public key do this organisation's deposit addresses hang?

    ``sample`` are numbers whose addresses the signer derives by itself, to compare.
    """

    org_id: OrgId
    sample: Annotated[tuple[ChildNumber, ...], Meta(max_length=100)]


class AskNonce(Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="nonce"):
    """What have you signed with this nonce of a wallet?"""

    chain_id: Small
    sender: Address
    nonce: Small


class AskHealth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="health"):
    """Could you sign, if you were asked?"""


class AnswerAddresses(Struct, frozen=True, tag_field="answer", tag="addresses"):
    """These are the wallets."""

    wallets: WalletAddresses


class AnswerSigned(Struct, frozen=True, tag_field="answer", tag="signed"):
    """Here is the transaction."""

    signed: Signed


class AnswerBranch(Struct, frozen=True, tag_field="answer", tag="branch"):
    """This is the branch, and these are the addresses of the sample."""

    branch: Branch
    sample: tuple[Address, ...]


class AnswerNonce(Struct, frozen=True, tag_field="answer", tag="nonce"):
    """This is what was signed with it."""

    use: NonceUse


class AnswerHealth(Struct, frozen=True, tag_field="answer", tag="health"):
    """Whether signing is possible."""

    ok: bool


class Refused(Struct, frozen=True, tag_field="answer", tag="refused"):
    """No, and why; nothing was signed.

    ``nonce``, ``move_ids`` and ``tx_hashes`` say what was signed before, for ``move_signed`` and
    ``nonce_taken``, so that a caller who lost an answer finds its way back to it. ``retry_at``
    (UTC) says from when on it makes sense to ask again, for ``day_cap``.
    """

    code: Code
    reason: str
    nonce: int | None = None
    move_ids: tuple[str, ...] = ()
    retry_at: datetime | None = None
    tx_hashes: tuple[str, ...] = ()


Ask = AskAddresses | AskBranch | AskSign | AskNonce | AskHealth
Answer = AnswerAddresses | AnswerBranch | AnswerSigned | AnswerNonce | AnswerHealth | Refused


class BadFrame(Exception):  # noqa: N818 - named for what arrived
    """The other side sent something that is not a frame of ours; hang up."""


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame's JSON, or None when the other side hung up between frames.

    Raises `BadFrame` for a length of zero or above `MAX_FRAME_BYTES`, before reading any
    of it, and for a frame that stops half-way.
    """
    try:
        head = await reader.readexactly(_LENGTH_BYTES)
    except asyncio.IncompleteReadError as cut:
        if cut.partial:
            msg = "the frame stops inside its length"
            raise BadFrame(msg) from cut
        return None
    length = int.from_bytes(head, "big")
    if not 0 < length <= MAX_FRAME_BYTES:
        msg = f"a frame has 1 to {MAX_FRAME_BYTES} bytes, not {length}"
        raise BadFrame(msg)
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as cut:
        msg = f"the frame promised {length} bytes and stops after {len(cut.partial)}"
        raise BadFrame(msg) from cut


def frame(message: Ask | Answer) -> bytes:
    """One message as a frame. Raises `BadFrame` when it is too long to be sent."""
    body = msgspec.json.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        msg = f"a frame has at most {MAX_FRAME_BYTES} bytes, this message has {len(body)}"
        raise BadFrame(msg)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body
