"""What keyboards write."""

_FIRST, _LAST = "!", "~"
_APART = ord("\N{FULLWIDTH EXCLAMATION MARK}") - ord("!")


def wide(text: str) -> str:
    """Digits, marks and letters as a Chinese input method writes them: as wide as a character."""
    return "".join(chr(ord(c) + _APART) if _FIRST <= c <= _LAST else c for c in text)
