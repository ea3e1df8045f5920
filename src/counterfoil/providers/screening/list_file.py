"""The file a sanctions list comes in: measured while it is read, and refused in a sentence.

Files come from outside and can be huge, cut off or hostile.
"""

import hashlib
import io
from collections.abc import Iterable
from datetime import date
from typing import Final, NoReturn, Protocol

from counterfoil.core.errors import Invalid
from counterfoil.providers.screening.addresses import MAX_ADDRESS_LENGTH
from counterfoil.providers.screening.list_content import ListedAddress, ListImport

PARSER_VERSION: Final = "1"
"""Kept with every import; raise it whenever the same file would read differently."""

_FILE: Final = "file"


class Readable(Protocol):
    """A file, or an upload, that hands out its bytes piece by piece."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``; none at the end."""
        ...


class MeasuredFile(io.RawIOBase):
    """Passes a file through while counting and hashing it, and refuses one that never ends."""

    def __init__(self, file: bytes | Readable, limit_bytes: int) -> None:
        """Read ``file`` up to ``limit_bytes``; reading on raises `Invalid`."""
        super().__init__()
        self._file = io.BytesIO(file) if isinstance(file, bytes) else file
        self._limit_bytes = limit_bytes
        self._hash = hashlib.sha256()
        self._byte_size = 0

    def readable(self) -> bool:
        """As `io.BufferedReader` asks."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer works
        """The next bytes, counted and hashed."""
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._hash.update(chunk)
        self._byte_size += len(chunk)
        if self._byte_size > self._limit_bytes:
            refuse(f"must not be larger than {self._limit_bytes} bytes")
        return len(chunk)

    def result(  # noqa: PLR0913 - one argument per thing that only the reader knows
        self,
        list_code: str,
        parser: str,
        publish_date: date | None,
        *,
        entry_count: int,
        addresses: Iterable[ListedAddress],
        skipped: Iterable[str] = (),
    ) -> ListImport:
        """What was read, with the size and the hash of the bytes it was read from."""
        return ListImport(
            list_code=list_code,
            parser=parser,
            parser_version=PARSER_VERSION,
            publish_date=publish_date,
            sha256=self._hash.hexdigest(),
            byte_size=self._byte_size,
            entry_count=entry_count,
            addresses=tuple(addresses),
            skipped=tuple(skipped),
        )


def address_problem(text: str) -> str | None:
    """What is wrong with an address as published, going on from "the address", or None."""
    if not text:
        return "is empty"
    if len(text) > MAX_ADDRESS_LENGTH:
        return f"is longer than {MAX_ADDRESS_LENGTH} characters"
    return None if text.isprintable() else "has characters that cannot be printed"


def refuse(sentence: str) -> NoReturn:
    """Raise `Invalid` about the file; ``sentence`` goes on from "the file"."""
    raise Invalid.field(_FILE, sentence)
