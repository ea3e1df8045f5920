"""Files that people attach: taken in, given back, and never looked into."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from psycopg.errors import DataCorrupted

from counterfoil.books import files
from counterfoil.core import ids
from counterfoil.core.documents import content_type_of, safe_name
from counterfoil.core.errors import Damaged, Forbidden, Invalid, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import Idempotent, once

MAX_FILE_BYTES: Final = 10 * 1024 * 1024
MAX_FILES_OF_ORG: Final = 100_000
MAX_BYTES_OF_ORG: Final = 20 * 1024**3

_BATCH: Final = 16
"""How many are compared at a time; each is read whole, by the server."""

_log: Final = structlog.get_logger("counterfoil.files")

MAY_UPLOAD: Final = (Permission.CREATE, Permission.SIGN, Permission.REVIEW)
"""Attachments belong to invoices, which creating makes, to refunds, which signing orders, and to
what compliance finds."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that was taken in; ``sha256`` is hex."""

    file_id: UUID
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime


async def store(
    desk: Desk, content: bytes, name: str, by: Actor, idempotent: Idempotent | None = None
) -> StoredFile:
    """Take a file in. Raises `Invalid` naming ``file`` for what is not wanted."""
    _require_upload(by)
    row = prepared(desk, content, name, by)

    async def work(tx: Tx) -> StoredFile:
        async def do() -> StoredFile:
            kept = await keep(tx, row)
            if by.client_id is not None:
                await files.share(tx, by.org_id, by.client_id, [row.file_id])
            return kept

        return await once(desk, tx, by, idempotent, do)

    return await desk.database.run(work)


def prepared(desk: Desk, content: bytes, name: str, by: Actor) -> files.FileRow:
    """A file that was looked at, to be kept. Raises `Invalid` naming ``file``."""
    if not 0 < len(content) <= MAX_FILE_BYTES:
        raise Invalid.field("file", f"must have from 1 to {MAX_FILE_BYTES} bytes")
    content_type = content_type_of(content)
    return files.FileRow(
        org_id=by.org_id,
        file_id=desk.ids.new(),
        name=safe_name(name, content_type),
        content_type=content_type,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).digest(),
        content=content,
        uploaded_by=_member(by),
        created_at=desk.clock.now(),
    )


async def fetch(desk: Desk, file_id: UUID, by: Actor) -> tuple[StoredFile, bytes]:
    """A file of the actor's organisation with its content; `NotFound` otherwise.

    Raises `Damaged` where what is stored is not what was taken in. A key that is bound to a
    client id has what was uploaded with such a key, and what belongs to that client id's invoices
    and their refunds.
    """
    by.require(Permission.READ)
    try:
        async with desk.database.reading() as tx:
            row = await files.get(tx, by.org_id, file_id, by.client_id)
    except DataCorrupted as error:
        raise _damaged(by.org_id, file_id, str(error)) from error
    if row is None:
        raise NotFound("there is no such file")
    must_be_whole(by.org_id, file_id, row.sha256, row.content)
    return _stored(row), row.content


def must_be_whole(org_id: int, file_id: UUID, sha256: bytes, content: bytes) -> None:
    """Raise `Damaged`, and log it, unless the content has this hash."""
    found = hashlib.sha256(content).digest()
    if found != sha256:
        why = f"{len(content)} bytes with hash {found.hex()}, {sha256.hex()} was taken in"
        raise _damaged(org_id, file_id, why)


def _damaged(org_id: int, file_id: UUID, why: str) -> Damaged:
    """The refusal to give out a file that is not what it was, and a line in the log."""
    public = ids.public("file", file_id)
    _log.error("file_damaged", org_id=org_id, file=public, reason=why)
    return Damaged(
        "what is stored is not the file that was uploaded, so it is not given out; the operator"
        " of this system has to put it back from a backup"
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """How many files were compared with their hashes, and a sentence for each that is not whole."""

    files: int
    findings: tuple[str, ...]


async def compare(desk: Desk) -> Compared:
    """Compare every file of every organisation with its hash, and look for papers that are gone."""
    after = (0, UUID(int=0))
    count = 0
    findings: list[str] = []
    while True:
        async with desk.database.reading() as tx:
            batch = await files.kept(tx, after=after, limit=_BATCH)
        if not batch:
            break
        whole = await _whole(desk, batch)
        findings += [
            f"{_named(one.org_id, one.file_id)}, {one.name}: what is stored is not what was"
            " uploaded"
            for one in batch
            if one.file_id not in whole
        ]
        count += len(batch)
        after = (batch[-1].org_id, batch[-1].file_id)
    async with desk.database.reading() as tx:
        gone = await files.missing(tx)
    findings += [
        f"{_named(one.org_id, one.file_id)}: it is gone, and a refund of"
        f" {ids.public('inv', one.invoice_id)} names it"
        for one in gone
    ]
    return Compared(count, tuple(findings))


async def _whole(desk: Desk, batch: list[files.KeptFile]) -> set[UUID]:
    """Which of these are whole. What the server itself cannot read must hide none of the others."""
    try:
        async with desk.database.reading() as tx:
            return await files.whole(tx, batch)
    except DataCorrupted as error:
        if len(batch) == 1:
            _damaged(batch[0].org_id, batch[0].file_id, str(error))
            return set()
        half = len(batch) // 2
        return await _whole(desk, batch[:half]) | await _whole(desk, batch[half:])


def _named(org_id: int, file_id: UUID) -> str:
    return f"organisation {org_id}, {ids.public('file', file_id)}"


async def name_of(desk: Desk, file_id: UUID, by: Actor) -> str:
    """What a file of the actor's organisation is called; `NotFound` otherwise."""
    by.require(Permission.READ)
    async with desk.database.looking() as tx:
        name = await files.name_of(tx, by.org_id, file_id)
    if name is None:
        raise NotFound("there is no such file")
    return name


async def keep(tx: Tx, row: files.FileRow) -> StoredFile:
    """Keep a file that is `prepared`. Raises `Invalid` where there is no room."""
    used = await files.usage(tx, row.org_id)
    if used.files >= MAX_FILES_OF_ORG or used.size_bytes + row.size_bytes > MAX_BYTES_OF_ORG:
        raise Invalid.field("file", "does not fit: your organisation's room for files is full")
    await files.insert(tx, row)
    return _stored(row)


def _require_upload(by: Actor) -> None:
    if not any(permission in by.permissions for permission in MAY_UPLOAD):
        names = " or ".join(permission.value for permission in MAY_UPLOAD)
        raise Forbidden(
            f"this needs the permission {names}, which you do not have",
            data={"missing_permission": MAY_UPLOAD[0].value},
        )


def _member(by: Actor) -> UUID:
    member_id = ids.parse("user", by.uid)
    if member_id is None:
        msg = f"{by.uid} is no member, and only members upload files"
        raise ValueError(msg)
    return member_id


def _stored(row: files.FileRow) -> StoredFile:
    return StoredFile(
        file_id=row.file_id,
        name=row.name,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        sha256=row.sha256.hex(),
        created_at=row.created_at,
    )
