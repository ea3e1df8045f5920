"""What an uploaded file really is, told by its content; and a name for it that harms nobody.

Only PDF, PNG and JPEG are taken (specs/reliability.md 2.3 T11 to T13). Nothing is unpacked or
drawn: a few bytes at known places are read, so a bomb stays packed.
"""

import re
import unicodedata
import zlib
from typing import Final
from urllib.parse import quote

from counterfoil.core.errors import Invalid

MAX_SIDE_PIXELS: Final = 20_000
MAX_PIXELS: Final = 50_000_000
MAX_NAME_LENGTH: Final = 120

PDF: Final = "application/pdf"
PNG: Final = "image/png"
JPEG: Final = "image/jpeg"

_ENDINGS: Final = {PDF: (".pdf",), PNG: (".png",), JPEG: (".jpg", ".jpeg")}
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PDF_HEAD: Final = re.compile(rb"%PDF-[12]\.[0-9][\r\n ]")
_PDF_TAIL: Final = re.compile(rb"startxref\s+[0-9]+\s+%%EOF\s*\Z")
_PDF_TAIL_BYTES: Final = 1_024
_CHUNK_OVERHEAD: Final = 12
_IHDR_BYTES: Final = 13
# Frame headers: SOF0 to SOF15 without the tables and the reserved codes among them.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN: Final = 0xDA
_NAMES_OF_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_UNSAFE_IN_NAMES: Final = re.compile(r'[<>:"|?*%;\\/]')


def content_type_of(content: bytes) -> str:
    """The media type of a PDF, PNG or JPEG.

    Raises `Invalid` naming ``file`` for anything else, for a broken or cut-off file, for one
    with something appended to its end, and for pictures of absurd dimensions.
    """
    if content.startswith(b"%PDF-"):
        _check_pdf(content)
        return PDF
    if content.startswith(_PNG_SIGNATURE):
        _check_size(*_png_size(content))
        return PNG
    if content.startswith(b"\xff\xd8\xff"):
        _check_size(*_jpeg_size(content))
        return JPEG
    raise _refused("must be a PDF, a PNG or a JPEG; its content is none of these")


def picture_size(content: bytes) -> tuple[int, int]:
    """Width and height of a PNG or JPEG, in pixels; raises `Invalid` as `content_type_of`."""
    match content_type_of(content):
        case "image/png":
            return _png_size(content)
        case "image/jpeg":
            return _jpeg_size(content)
        case _:
            raise _refused("must be a PNG or a JPEG")


def safe_name(name: str, content_type: str) -> str:
    """A file name to show and to download under; it ends as its content does.

    Folders, control and invisible characters, quotes and the names of devices are dropped;
    what is left is at most 120 characters. Never fails: the name is only a label.
    """
    base = name.replace("\\", "/").rsplit("/", 1)[-1][: 4 * MAX_NAME_LENGTH]
    kept = "".join(
        character
        for character in unicodedata.normalize("NFC", base)
        if unicodedata.category(character)[0] != "C" and not _UNSAFE_IN_NAMES.match(character)
    )
    kept = " ".join(kept.split()).strip(". ")
    endings = _ENDINGS[content_type]
    ending = next((e for e in endings if kept.lower().endswith(e)), "")
    stem = kept[: len(kept) - len(ending)][: MAX_NAME_LENGTH - len(endings[-1])].strip(". ")
    if not stem or _NAMES_OF_DEVICES.fullmatch(stem):
        stem = f"file {stem}".strip()
    return stem + (ending or endings[0])


def headers_of(name: str) -> dict[str, str]:
    """How a file is given back: to be saved under its name, and never opened in place (T11)."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    return {
        "Content-Disposition": f'attachment; filename="{plain}";'
        f" filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def _refused(sentence: str) -> Invalid:
    return Invalid.field("file", sentence)


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE_PIXELS and 0 < height <= MAX_SIDE_PIXELS):
        raise _refused(f"must be at most {MAX_SIDE_PIXELS} pixels wide and high")
    if width * height > MAX_PIXELS:
        raise _refused(f"must have at most {MAX_PIXELS} pixels")


def _check_pdf(content: bytes) -> None:
    if not _PDF_HEAD.match(content) or not _PDF_TAIL.search(content[-_PDF_TAIL_BYTES:]):
        raise _refused("is a broken or cut-off PDF")


def _png_size(content: bytes) -> tuple[int, int]:
    """Walk the chunks to the end: each is length, kind, data, check sum (RFC 2083 3.2)."""
    at = len(_PNG_SIGNATURE)
    first = True
    while at + _CHUNK_OVERHEAD <= len(content):
        length = int.from_bytes(content[at : at + 4])
        kind = content[at + 4 : at + 8]
        after = at + _CHUNK_OVERHEAD + length
        if first != (kind == b"IHDR") or after > len(content):
            break
        if first and (length != _IHDR_BYTES or not _right_checksum(content, at, length)):
            break
        if kind == b"IEND":
            if length or after != len(content):
                break
            header = content[len(_PNG_SIGNATURE) + 8 :]
            return int.from_bytes(header[:4]), int.from_bytes(header[4:8])
        first, at = False, after
    raise _refused("is a broken or cut-off PNG, or has something appended")


def _right_checksum(content: bytes, at: int, length: int) -> bool:
    end = at + 8 + length
    return zlib.crc32(content[at + 4 : end]) == int.from_bytes(content[end : end + 4])


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Walk the segments to the frame header, which states the dimensions (ITU-T T.81 B.1)."""
    at = 2
    size: tuple[int, int] | None = None
    while at + 4 <= len(content) and content[at] == 0xFF:  # noqa: PLR2004 - a marker's first byte
        marker = content[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 - fill bytes may stand before a marker
            at += 1
            continue
        length = int.from_bytes(content[at + 2 : at + 4])
        if marker in _JPEG_FRAMES:
            if size is not None:
                size = None  # Which of two frames counts is for each reader to say.
                break
            height, width = content[at + 5 : at + 7], content[at + 7 : at + 9]
            size = int.from_bytes(width), int.from_bytes(height)
        if marker == _JPEG_SCAN:
            break
        at += 2 + max(length, 2)
    if size is None or not content.endswith(b"\xff\xd9"):
        raise _refused("is a broken or cut-off JPEG, or has something appended")
    return size
