"""Pictures as people upload them, drawn here so that no file has to be kept."""

import struct
import zlib
from collections.abc import Iterator

TEAL = (0, 128, 128)
SAND = (237, 201, 120)


def drawn(width: int, height: int) -> bytes:
    """A PNG of a mark with stripes beside it; what is between them shows what lies below."""
    rows = b"".join(b"\0" + bytes(_row(y, width, height)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows, 9))
        + _chunk(b"IEND", b"")
    )


def _row(y: int, width: int, height: int) -> Iterator[int]:
    for x in range(width):
        in_mark = (x - height / 2) ** 2 + (y - height / 2) ** 2 < (height / 2) ** 2
        in_stripe = x > height * 1.2 and y * 5 // height in (1, 3)
        colour = TEAL if in_mark else SAND
        yield from (*colour, 255 if in_mark or in_stripe else 0)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))
