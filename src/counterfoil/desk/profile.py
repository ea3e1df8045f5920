"""The organisation's own data: what its invoices say about it, and its logo."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from counterfoil.books import orgs, profiles
from counterfoil.books.profiles import Profile
from counterfoil.core import ids, zones
from counterfoil.core.documents import PNG, content_type_of, picture_size
from counterfoil.core.errors import Damaged, Invalid, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.text import clean_email, clean_text
from counterfoil.db.pool import Tx
from counterfoil.desk import files
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note

__all__ = ["Profile", "Written", "profile"]

NAME_LENGTH: Final = 100
ADDRESS_LENGTH: Final = 500
TAX_NUMBER_LENGTH: Final = 40
MAX_LOGO_BYTES: Final = 512 * 1024
"""It goes into every document and page that customers see."""
MAX_LOGO_PIXELS: Final = 4_000_000
LOGO_WIDTH: Final = 480
LOGO_HEIGHT: Final = 160
"""What is kept of it, in pixels: enough for print, little enough for every page."""

Redraw = Callable[[bytes, int, int], Awaitable[bytes]]
"""Draws a picture anew as a PNG, so many pixels wide and high; raises `Invalid`."""


@dataclass(frozen=True, slots=True)
class Written:
    """What somebody wrote about the organisation, not looked at yet."""

    name: str
    email: str
    address: str
    tax_number: str
    time_zone: str


async def profile(tx: Tx, org_id: int) -> Profile:
    """An organisation as its documents show it. Raises `NotFound`."""
    found = await profiles.get(tx, org_id)
    if found is None:
        raise NotFound(f"there is no organisation {org_id}")
    return found


async def own(desk: Desk, by: Actor) -> Profile:
    """One's own organisation. Raises `Forbidden`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        return await profile(tx, by.org_id)


async def change(desk: Desk, written: Written, by: Actor) -> None:
    """Replace name, e-mail, address, tax number and time zone.

    Documents that exist keep their dates, and show their times in the new zone.
    Raises `Forbidden`, and `Invalid` naming the field.
    """
    by.require(Permission.ADMINISTER)
    name = clean_text(written.name, "name", max_length=NAME_LENGTH)
    email = clean_email(written.email.strip(), "email") if written.email.strip() else ""
    address = clean_text(
        written.address, "address", max_length=ADDRESS_LENGTH, empty=True, lines=True
    )
    tax_number = clean_text(
        written.tax_number, "tax_number", max_length=TAX_NUMBER_LENGTH, empty=True
    )
    time_zone = zones.checked(written.time_zone)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        before = await profile(tx, by.org_id)
        after = replace(
            before,
            name=name,
            email=email,
            address=address,
            tax_number=tax_number,
            time_zone=time_zone,
        )
        told = {
            field: [getattr(before, field), getattr(after, field)]
            for field in ("name", "email", "address", "tax_number", "time_zone")
            if getattr(before, field) != getattr(after, field)
        }
        if told:
            await profiles.save(tx, by.org_id, after)
            await note(desk, tx, by, "profile_changed", "", fields=told)

    await desk.database.run(work)


async def logo(desk: Desk, sha256: str, by: Actor) -> bytes:
    """The logo of one's own organisation, a PNG. ``sha256`` is its hash in hex.

    Raises `Forbidden`, and `NotFound` for any other than the one that is shown now.
    """
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        return await logo_of(tx, by.org_id, sha256)


async def logo_of(tx: Tx, org_id: int, sha256: str) -> bytes:
    """The logo that an organisation shows now, if this is its hash; `NotFound` otherwise."""
    found = await profile(tx, org_id)
    content = await profiles.logo(tx, org_id)
    shown = "" if found.logo_sha256 is None else found.logo_sha256.hex()
    if content is None or found.logo_file_id is None or shown != sha256:
        raise NotFound("there is no such logo")
    files.must_be_whole(org_id, found.logo_file_id, bytes.fromhex(sha256), content)
    return content


async def printed_logo(tx: Tx, org_id: int, shown: Profile) -> bytes | None:
    """The picture for documents; a damaged one keeps no invoice from being printed."""
    if shown.logo_file_id is None or shown.logo_sha256 is None:
        return None
    content = await profiles.logo(tx, org_id)
    if content is None:
        return None
    try:
        files.must_be_whole(org_id, shown.logo_file_id, shown.logo_sha256, content)
    except Damaged:
        return None
    return content


async def set_logo(desk: Desk, content: bytes, name: str, by: Actor, redraw: Redraw) -> None:
    """Show this picture on documents: what `redraw` makes of it, never the file as it was sent.

    Raises `Forbidden`, and `Invalid` naming ``file``.
    """
    by.require(Permission.ADMINISTER)
    if len(content) > MAX_LOGO_BYTES:
        raise Invalid.field("file", f"must have at most {MAX_LOGO_BYTES} bytes")
    width, height = picture_size(content)
    if width * height > MAX_LOGO_PIXELS:
        raise Invalid.field("file", f"must have at most {MAX_LOGO_PIXELS} pixels")
    drawn = await redraw(content, *_fitted(width, height))
    if content_type_of(drawn) != PNG:
        msg = "a logo was drawn as something else than a PNG"
        raise ValueError(msg)
    row = files.prepared(desk, drawn, f"{name.rpartition('.')[0] or name}.png", by)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        before = await profile(tx, by.org_id)
        await files.keep(tx, row)
        await profiles.save(tx, by.org_id, replace(before, logo_file_id=row.file_id))
        subject = ids.public("file", row.file_id)
        await note(desk, tx, by, "logo_changed", subject, sha256=row.sha256.hex())

    await desk.database.run(work)


async def drop_logo(desk: Desk, by: Actor) -> None:
    """Show no picture. Raises `Forbidden`."""
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        before = await profile(tx, by.org_id)
        await profiles.save(tx, by.org_id, replace(before, logo_file_id=None))
        await note(desk, tx, by, "logo_changed", "")

    await desk.database.run(work)


def _fitted(width: int, height: int) -> tuple[int, int]:
    """The size of a picture that has to fit, never larger than it is."""
    share = min(1.0, LOGO_WIDTH / width, LOGO_HEIGHT / height)
    return max(1, round(width * share)), max(1, round(height * share))
