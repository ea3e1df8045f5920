"""QR codes as drawings inside the page: no file to fetch, and nobody else who draws them."""

import segno
from markupsafe import Markup


def qr_code(text: str) -> Markup:
    """A QR code of this text, black on white in every theme, as large as its place."""
    drawn = segno.make(text, error="m", micro=False).svg_inline(
        border=4, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True
    )
    return Markup(drawn)  # noqa: S704 - segno writes nothing but the squares
