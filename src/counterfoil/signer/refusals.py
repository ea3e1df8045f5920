"""How the signer says no: to those who ask it, and to whoever starts it.

Cheap to import, unlike `service`, which loads the library that signs.
"""

from datetime import datetime

from counterfoil.core.errors import Refusal
from counterfoil.signer.wire import Code, Refused


class SignerRefused(Refusal):
    """The signer would not sign; nothing was signed.

    ``code`` is for programs (`counterfoil.signer.wire.Code`). ``nonce``, ``move_ids`` and
    ``tx_hashes`` name what was signed before, where that is the reason; ``retry_at`` (UTC) when
    today's cap is no longer the reason.
    """

    kind = "signer_refused"

    def __init__(  # noqa: PLR0913 - one sentence, and what a program needs to act on it
        self,
        code: Code,
        reason: str,
        *,
        nonce: int | None = None,
        move_ids: tuple[str, ...] = (),
        retry_at: datetime | None = None,
        tx_hashes: tuple[str, ...] = (),
    ) -> None:
        """Keep the sentence, and what a program needs to act on it."""
        told = {"code": code, "nonce": nonce, "move_ids": move_ids, "retry_at": retry_at}
        super().__init__(reason, data=told)
        self.code = code
        self.reason = reason
        self.nonce = nonce
        self.move_ids = move_ids
        self.retry_at = retry_at
        self.tx_hashes = tx_hashes

    def answer(self) -> Refused:
        """This refusal as it travels."""
        return Refused(
            self.code, self.reason, self.nonce, self.move_ids, self.retry_at, self.tx_hashes
        )

    @classmethod
    def received(cls, answer: Refused) -> "SignerRefused":
        """The refusal that travelled here."""
        return cls(
            answer.code,
            answer.reason,
            nonce=answer.nonce,
            move_ids=answer.move_ids,
            retry_at=answer.retry_at,
            tx_hashes=answer.tx_hashes,
        )


class SignerUnreachable(Exception):  # noqa: N818 - named for what the caller finds
    """No answer that could be used.

    It may have signed all the same: ask again with the same order and the same terms, and
    the same bytes come back.
    """


class SeedRefused(Exception):  # noqa: N818 - a sentence for the operator, not a malfunction
    """The seed file cannot be made or opened; the sentence says what to do."""


class SignerStartRefused(Exception):  # noqa: N818 - a sentence for the operator
    """The signer cannot start like this; the sentence says what to change."""


class MemoryBroken(Exception):  # noqa: N818 - named for what is found
    """The memory cannot be trusted or written; the signer must not sign without it."""
