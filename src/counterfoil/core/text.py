"""Text from outside: what people may write, and in which form it is kept.

Names and reasons are shown to reviewers, printed and logged, so nothing may hide in them
(specs/reliability.md 2.3 T22, T24): no control characters, no direction overrides, no invisible
or tag characters, no lone surrogates. Everything is kept in Unicode's composed form (NFC).
"""

import re
import unicodedata
from typing import Final

from counterfoil.core.errors import Invalid

MAX_EMAIL_LENGTH: Final = 254
MAX_URL_LENGTH: Final = 2_048
MAX_MARKS_IN_A_ROW: Final = 4
"""Combining marks on one letter; no script in use stacks more, and a page of them hides text."""

# Control and surrogate characters; soft hyphen; invisible operators and fillers; zero-width and
# direction characters; line and paragraph separators; annotation, byte-order, tag characters.
_LINE_BREAKS: Final = "\n\t"
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
# Joiners decide how Persian and Indic words are written, so they may stand between letters.
_JOINER: Final = re.compile("[\u200c\u200d]")
_LOCAL: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL: Final = re.compile(rf"(?P<local>{_LOCAL})@{_LABEL}(?:\.{_LABEL})+", re.ASCII)
_URL: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?:[/?#][!-~]*)?",
    re.ASCII,
)


def clean_text(
    text: object, field: str, *, max_length: int, empty: bool = False, lines: bool = False
) -> str:
    """Read text that people wrote, in NFC and without blanks around it.

    ``max_length`` counts characters after composing. ``lines`` allows line breaks and tabs.
    Raises `Invalid` naming ``field``.
    """
    if not isinstance(text, str):
        raise Invalid.field(field, "must be text")
    # Composing takes longer than reading, so the length is looked at before as well.
    if len(text) > 4 * max_length:
        raise Invalid.field(field, f"must have at most {max_length} characters")
    if text.isascii() and text.isprintable():
        tidy = text.strip()
    else:
        tidy = _composed(text, field, lines=lines)
    if len(tidy) > max_length:
        raise Invalid.field(field, f"must have at most {max_length} characters")
    if not tidy and not empty:
        raise Invalid.field(field, "must not be empty")
    return tidy


def _composed(text: str, field: str, *, lines: bool) -> str:
    found = _HIDDEN.search(text) or (not lines and re.search(f"[{_LINE_BREAKS}]", text))
    if found:
        raise Invalid.field(
            field,
            f"contains the character U+{ord(found[0]):04X}, which is invisible or a control"
            " character; write it without",
        )
    tidy = unicodedata.normalize("NFC", text).strip()
    _refuse_stray_joiners(tidy, field)
    _refuse_piled_marks(tidy, field)
    return tidy


def _refuse_stray_joiners(text: str, field: str) -> None:
    for found in _JOINER.finditer(text):
        around = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
        if not all(_may_join(side) for side in around):
            raise Invalid.field(
                field, f"contains an invisible U+{ord(found[0]):04X} where no script needs it"
            )


def _may_join(side: str) -> bool:
    """Whether a joiner makes sense beside this character: Arabic, Indic and the like, emoji."""
    if not side or side.isascii():
        return False
    return unicodedata.category(side) in {"Lo", "Mn", "Mc", "So", "Sk"}


def _refuse_piled_marks(text: str, field: str) -> None:
    pile = 0
    for character in text:
        pile = pile + 1 if unicodedata.combining(character) else 0
        if pile > MAX_MARKS_IN_A_ROW:
            raise Invalid.field(
                field, f"stacks more than {MAX_MARKS_IN_A_ROW} combining marks on one letter"
            )


def tame(text: str, *, max_length: int) -> str:
    """What a machine outside said, so that it can be kept, shown and printed to a terminal.

    Whatever hides or commands is shown as U+FFFD, and what is longer than ``max_length`` characters
    ends with three dots. Nothing is refused: it is somebody else's sentence.
    """
    shown = _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", " ".join(text[: 4 * max_length].split()))
    is_short = len(text) <= 4 * max_length and len(shown) <= max_length
    return shown if is_short else f"{shown[: max_length - 3]}..."


def clean_email(text: object, field: str) -> str:
    """Read an e-mail address: ASCII, a domain with a dot; kept as written, the domain lower-case.

    Quoted local parts and address literals are lawful but nobody's, and are refused.
    """
    if (
        not isinstance(text, str)
        or len(text) > MAX_EMAIL_LENGTH
        or not (found := _EMAIL.fullmatch(text))
        or len(found["local"]) > 64  # noqa: PLR2004 - RFC 5321 4.5.3.1.1
    ):
        raise Invalid.field(field, "must be an e-mail address, such as buyer@example.com")
    local, _, domain = text.partition("@")
    return f"{local}@{domain.lower()}"


def clean_url(text: object, field: str) -> str:
    """Read an http or https address that we show and never fetch; no user name in it."""
    if not isinstance(text, str) or len(text) > MAX_URL_LENGTH:
        raise Invalid.field(field, f"must be a URL in text, of at most {MAX_URL_LENGTH} characters")
    found = _URL.fullmatch(text)
    if found is None or not 0 < int(found["port"] or "443") < 65_536:  # noqa: PLR2004 - TCP
        raise Invalid.field(
            field, "must be a URL with http:// or https:// and a host, such as https://shop.example"
        )
    return text


def url_parts(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address that `clean_url` let through."""
    found = _URL.fullmatch(url)
    if found is None:
        msg = "an address that nobody looked at"
        raise ValueError(msg)
    return found["scheme"], found["host"], int(found["port"]) if found["port"] else None
