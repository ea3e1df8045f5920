"""Uploaded files: attachments of invoices and refunds."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, execute, one_row, one_value


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file with its content. ``content_type`` was judged by content, never by its name."""

    org_id: int
    file_id: UUID
    name: str
    content_type: str
    size_bytes: int
    sha256: bytes
    content: bytes
    uploaded_by: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """How much an organisation has stored."""

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class KeptFile:
    """Which file it is, without its content."""

    org_id: int
    file_id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class MissingPaper:
    """A file that a refund names and nobody has."""

    org_id: int
    invoice_id: UUID
    file_id: UUID


@dataclass(frozen=True, slots=True)
class _Name:
    file_id: UUID
    name: str


async def insert(tx: Tx, file: FileRow) -> None:
    """Keep a file."""
    await execute(
        tx,
        """
        INSERT INTO file (org_id, file_id, name, content_type, size_bytes, sha256, content,
            uploaded_by, created_at)
        VALUES (%(org_id)s, %(file_id)s, %(name)s, %(content_type)s, %(size_bytes)s, %(sha256)s,
            %(content)s, %(uploaded_by)s, %(created_at)s)
        """,
        asdict(file),
    )


async def get(tx: Tx, org_id: int, file_id: UUID, client_id: str | None = None) -> FileRow | None:
    """The file with its content, or None when this organisation, or the client id, has none such.

    Without ``client_id`` it may be anybody's of the organisation.
    """
    return await one_row(
        tx,
        FileRow,
        """
        SELECT org_id, file_id, name, content_type, size_bytes, sha256, content, uploaded_by,
               created_at
          FROM file WHERE org_id = %(org_id)s AND file_id = %(file_id)s
           AND (%(client_id)s::text IS NULL OR EXISTS (
               SELECT FROM client_file AS c
                WHERE c.org_id = file.org_id AND c.client_id = %(client_id)s
                  AND c.file_id = file.file_id))
        """,
        {"org_id": org_id, "file_id": file_id, "client_id": client_id},
    )


async def name_of(tx: Tx, org_id: int, file_id: UUID) -> str | None:
    """What a file is called, or None when this organisation has none such."""
    return await one_value(
        tx,
        str,
        "SELECT name FROM file WHERE org_id = %(org_id)s AND file_id = %(file_id)s",
        {"org_id": org_id, "file_id": file_id},
    )


async def names_of(tx: Tx, org_id: int, file_ids: Collection[UUID]) -> dict[UUID, str]:
    """What these files are called, as far as they are this organisation's."""
    found = await all_rows(
        tx,
        _Name,
        """
        SELECT file_id, name FROM file
         WHERE org_id = %(org_id)s AND file_id = ANY(%(file_ids)s::uuid[])
        """,
        {"org_id": org_id, "file_ids": list(file_ids)},
    )
    return {one.file_id: one.name for one in found}


async def exist(
    tx: Tx, org_id: int, file_ids: Collection[UUID], client_id: str | None = None
) -> bool:
    """Whether every one of these files is this organisation's, and the client id's."""
    wanted = set(file_ids)
    found = await one_value(
        tx,
        int,
        """
        SELECT count(*) FROM file
         WHERE org_id = %(org_id)s AND file_id = ANY(%(file_ids)s::uuid[])
           AND (%(client_id)s::text IS NULL OR EXISTS (
               SELECT FROM client_file AS c
                WHERE c.org_id = file.org_id AND c.client_id = %(client_id)s
                  AND c.file_id = file.file_id))
        """,
        {"org_id": org_id, "file_ids": list(wanted), "client_id": client_id},
    )
    return found == len(wanted)


async def share(tx: Tx, org_id: int, client_id: str, file_ids: Collection[UUID]) -> None:
    """Have keys that are bound to a client id reach these files from now on."""
    await execute(
        tx,
        """
        INSERT INTO client_file (org_id, client_id, file_id)
        SELECT %(org_id)s, %(client_id)s, unnest(%(file_ids)s::uuid[])
        ON CONFLICT DO NOTHING
        """,
        {"org_id": org_id, "client_id": client_id, "file_ids": list(file_ids)},
    )


async def usage(tx: Tx, org_id: int) -> Usage:
    """How many files and bytes an organisation has stored."""
    used = await one_row(
        tx,
        Usage,
        """
        SELECT count(*) AS files, coalesce(sum(size_bytes), 0)::bigint AS size_bytes
          FROM file WHERE org_id = %(org_id)s
        """,
        {"org_id": org_id},
    )
    return used or Usage(files=0, size_bytes=0)


async def kept(tx: Tx, *, after: tuple[int, UUID], limit: int) -> list[KeptFile]:
    """The files of all organisations that come next, by organisation and id."""
    return await all_rows(
        tx,
        KeptFile,
        """
        SELECT org_id, file_id, name FROM file
         WHERE (org_id, file_id) > (%(org_id)s, %(file_id)s)
         ORDER BY org_id, file_id LIMIT %(limit)s
        """,
        {"org_id": after[0], "file_id": after[1], "limit": limit},
    )


async def whole(tx: Tx, of: Collection[KeptFile]) -> set[UUID]:
    """Which of these hold what was taken in: as many bytes, with the same hash.

    Raises ``psycopg.errors.DataCorrupted`` where the server cannot read one of them.
    """
    found = await all_values(
        tx,
        UUID,
        """
        SELECT file_id FROM file
         WHERE (org_id, file_id) IN (
               SELECT * FROM unnest(%(org_ids)s::bigint[], %(file_ids)s::uuid[]))
           AND length(content) = size_bytes AND sha256(content) = sha256
        """,
        {"org_ids": [one.org_id for one in of], "file_ids": [one.file_id for one in of]},
    )
    return set(found)


async def missing(tx: Tx) -> list[MissingPaper]:
    """The papers of all organisations' refunds that are not there."""
    return await all_rows(
        tx,
        MissingPaper,
        """
        SELECT r.org_id, r.invoice_id, named.file_id
          FROM refund AS r CROSS JOIN unnest(r.attachment_file_ids) AS named (file_id)
         WHERE NOT EXISTS (SELECT FROM file AS f
                            WHERE (f.org_id, f.file_id) = (r.org_id, named.file_id))
         ORDER BY 1, 2, 3
        """,
        {},
    )
