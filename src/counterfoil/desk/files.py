"""Files that people attach: taken in, given back, and never looked into."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.books import files
from counterfoil.core import ids
from counterfoil.core.documents import content_type_of, safe_name
from counterfoil.core.errors import Forbidden, Invalid, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import Idempotent, once

MAX_FILE_BYTES: Final = 10 * 1024 * 1024
MAX_FILES_OF_ORG: Final = 100_000
MAX_BYTES_OF_ORG: Final = 20 * 1024**3

MAY_UPLOAD: Final = (Permission.CREATE, Permission.SIGN)
"""Attachments belong to invoices, which creating makes, and to refunds, which signing orders."""


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

    A key that is bound to a client id has what was uploaded with such a key, and what belongs to
    that client id's invoices and their refunds.
    """
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        row = await files.get(tx, by.org_id, file_id, by.client_id)
    if row is None:
        raise NotFound("there is no such file")
    return _stored(row), row.content


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
