"""The side that asks: what workers and commands know of the signer.

Neither keys nor the library that signs are imported here.
"""

import asyncio
from pathlib import Path
from typing import Final

import msgspec

from counterfoil.chains.evm.hd import MAX_INDEX, HdAddresses
from counterfoil.signer.orders import NonceUse, Order, Signed, TxTerms, WalletAddresses
from counterfoil.signer.payload import NotWhatWasAsked, accept, factory_terms, rebuild, sender_of
from counterfoil.signer.refusals import SignerRefused, SignerUnreachable
from counterfoil.signer.wire import (
    Answer,
    AnswerAddresses,
    AnswerBranch,
    AnswerHealth,
    AnswerNonce,
    AnswerSigned,
    Ask,
    AskAddresses,
    AskBranch,
    AskHealth,
    AskNonce,
    AskSign,
    BadFrame,
    Refused,
    frame,
    read_frame,
)

__all__ = ["SignerClient", "SignerRefused", "SignerUnreachable"]

_answers: Final[msgspec.json.Decoder[Answer]] = msgspec.json.Decoder(Answer)


_SAMPLE: Final = (0, 1, 2, 1_000, 999_999, MAX_INDEX)
"""Numbers whose addresses are derived on both sides before any is given out."""


class SignerClient:
    """Asks one signer, over one connection per question; safe to share between tasks.

    Every method raises `SignerUnreachable` when no usable answer comes in time. An answer
    that is not what was asked for counts as none.
    """

    def __init__(self, socket_path: Path, timeout_seconds: float = 10.0) -> None:
        """Remember where to ask; nothing is opened yet."""
        self._path = socket_path
        self._timeout_seconds = timeout_seconds
        self._wallets: dict[int, WalletAddresses] = {}
        self._deposits: dict[int, HdAddresses] = {}

    async def addresses(self, org_id: int) -> WalletAddresses:
        """The organisation's wallets and factory, the same ones for as long as the seed lives."""
        known = self._wallets.get(org_id)
        if known is None:
            known = self._wallets[org_id] = await self._ask_addresses(org_id)
        return known

    async def deposits(self, org_id: int) -> HdAddresses:
        """The organisation's deposit addresses that have keys of their own.

        Asked for once: from then on they are derived here, after a sample was compared with what
        the signer derives from the private keys. It is kept in memory only.
        """
        known = self._deposits.get(org_id)
        if known is None:
            known = self._deposits[org_id] = await self._ask_branch(org_id)
        return known

    async def sign(self, order: Order, terms: TxTerms) -> Signed:
        """Have ``order`` signed; the same order and terms give the same bytes, also later.

        What comes back is checked against the order once more, byte for byte. Raises
        `SignerRefused` with the signer's reason.
        """
        wallets = await self.addresses(order.org_id)
        answer = await self._ask(AskSign(order, terms))
        if not isinstance(answer, AnswerSigned):
            raise _odd(answer)
        payload = rebuild(order, wallets)
        try:
            signed = accept(answer.signed.raw, payload, terms, sender_of(payload, wallets))
        except NotWhatWasAsked as other:
            msg = f"the signer answered with something that was not asked for: {other}"
            raise SignerUnreachable(msg) from other
        if signed != answer.signed:
            msg = "the signer misstates the hash or the sender of what it signed"
            raise SignerUnreachable(msg)
        return signed

    async def use_of(self, chain_id: int, sender: str, nonce: int) -> NonceUse:
        """What it remembers to have signed with a nonce of a wallet."""
        answer = await self._ask(AskNonce(chain_id, sender, nonce))
        if not isinstance(answer, AnswerNonce):
            raise _odd(answer)
        return answer.use

    async def healthy(self) -> bool:
        """Whether the signer is there and could sign."""
        try:
            answer = await self._ask(AskHealth())
        except (SignerUnreachable, SignerRefused):
            return False
        return isinstance(answer, AnswerHealth) and answer.ok

    async def _ask_addresses(self, org_id: int) -> WalletAddresses:
        answer = await self._ask(AskAddresses(org_id))
        if not isinstance(answer, AnswerAddresses):
            raise _odd(answer)
        if factory_terms(answer.wallets).address != answer.wallets.factory:
            msg = "the signer's factory does not follow from its wallets; do both run one version?"
            raise SignerUnreachable(msg)
        return answer.wallets

    async def _ask_branch(self, org_id: int) -> HdAddresses:
        answer = await self._ask(AskBranch(org_id, _SAMPLE))
        if not isinstance(answer, AnswerBranch):
            raise _odd(answer)
        branch = answer.branch
        found = HdAddresses(bytes.fromhex(branch.public_key), bytes.fromhex(branch.chain_code))
        try:
            derived = tuple(found.address(number) for number in _SAMPLE)
        except ValueError as unusable:
            msg = "the signer's branch for deposits is no key"
            raise SignerUnreachable(msg) from unusable
        if derived != answer.sample:
            msg = "the signer's deposit addresses do not follow from its branch"
            raise SignerUnreachable(msg)
        return found

    async def _ask(self, ask: Ask) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = _answers.decode(await self._exchange(ask))
        except TimeoutError as late:
            msg = f"the signer at {self._path} gave no answer in {self._timeout_seconds} seconds"
            raise SignerUnreachable(msg) from late
        except (OSError, BadFrame, msgspec.DecodeError) as lost:
            msg = f"the signer at {self._path} cannot be asked: {lost}"
            raise SignerUnreachable(msg) from lost
        if isinstance(answer, Refused):
            raise SignerRefused.received(answer)
        return answer

    async def _exchange(self, ask: Ask) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.write(frame(ask))
            await writer.drain()
            answer = await read_frame(reader)
        finally:
            writer.close()
        if answer is None:
            msg = "it hung up without an answer"
            raise BadFrame(msg)
        return answer


def _odd(answer: Answer) -> SignerUnreachable:
    return SignerUnreachable(f"the signer answered another question ({type(answer).__name__})")
