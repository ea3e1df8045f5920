"""Pictures as people upload them, drawn here so that no file has to be kept."""

import struct
import zlib
from collections.abc import Iterator

TEAL = (0, 128, 128)
SAND = (237, 201, 120)


def drawn(width: int, height: int) -> bytes:
    """A PNG of a mark with stripes beside it; what is between them shows what lies below."""
    rows = b"".join(b"\0" + bytes(_row(y, width, height)) for y in range(height))
    return _png(width, height, colours=6, rows=rows)


def png(width: int = 1, height: int = 1) -> bytes:
    """A black PNG; what says that it is larger than a point holds no more than one."""
    return _png(width, height, colours=0, rows=b"\0\0")


def jpeg(width: int = 1, height: int = 1) -> bytes:
    """A JPEG that says how large it is, and holds nothing."""
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    return (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
        b"\xff\xc0"
        + struct.pack(">H", len(frame) + 2)
        + frame
        + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
        + b"\x00\xff\xd9"
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG, with its sum."""
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _png(width: int, height: int, *, colours: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def _row(y: int, width: int, height: int) -> Iterator[int]:
    for x in range(width):
        in_mark = (x - height / 2) ** 2 + (y - height / 2) ** 2 < (height / 2) ** 2
        in_stripe = x > height * 1.2 and y * 5 // height in (1, 3)
        colour = TEAL if in_mark else SAND
        yield from (*colour, 255 if in_mark or in_stripe else 0)
