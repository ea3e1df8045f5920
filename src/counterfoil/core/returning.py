"""Where customers may be led back to: the web origins that an organisation names.

An invoice names a web address of its merchant, and the payment page leads back there. So whoever
makes one invoice could send a customer, who has just paid or is about to, to a page that only looks
like the merchant's (specs/reliability.md T31).
"""

from dataclasses import dataclass
from typing import Final

from counterfoil.core.errors import Invalid
from counterfoil.core.text import MAX_URL_LENGTH, clean_url, url_parts

MOST_ORIGINS: Final = 20
FIELD: Final = "return_origins"
_USUAL_PORTS: Final = {"https": 443, "http": 80}


def origin_of(url: str) -> str:
    """The origin of a web address (RFC 6454): scheme, host in small letters, port if unusual.

    Raises `Invalid` for what is no web address.
    """
    scheme, host, port = url_parts(clean_url(url, "origin"))
    shown = "" if port in {None, _USUAL_PORTS[scheme]} else f":{port}"
    return f"{scheme}://{host.lower()}{shown}"


def read_origins(lines: str) -> tuple[str, ...]:
    """The origins that somebody typed, one a line; none where nothing is typed.

    Raises `Invalid` for a line that is no address, or that says more than an origin: whoever types
    a path would believe that it counts.
    """
    typed = [line.strip() for line in lines.splitlines() if line.strip()]
    if len(typed) > MOST_ORIGINS or len(lines) > MOST_ORIGINS * MAX_URL_LENGTH:
        raise Invalid.field(FIELD, f"must be at most {MOST_ORIGINS} addresses")
    return tuple(dict.fromkeys(map(_read, typed)))


def _read(line: str) -> str:
    try:
        origin = origin_of(line)
    except Invalid:
        sentence = f"{line[:80]} is no web address, such as https://shop.example"
        raise Invalid.field(FIELD, sentence) from None
    bare = line.removesuffix("/")
    if any(mark in bare.partition("://")[2] for mark in "/?#"):
        raise Invalid.field(FIELD, f"must be without a path: {origin}")
    return origin


@dataclass(frozen=True, slots=True)
class ReturnRules:
    """The origins that customers are led back to; empty for whatever an invoice names."""

    origins: tuple[str, ...] = ()

    def allows(self, url: str) -> bool:
        """Whether an address is a web address, and of one of the origins, letter by letter."""
        try:
            return origin_of(url) in self.origins or not self.origins
        except Invalid:
            return False

    def must_allow(self, url: str) -> None:
        """Raise `Invalid` at ``origin`` for an address that customers are not led back to."""
        if not self.allows(url):
            allowed = ", ".join(self.origins)
            sentence = f"must be an address of {allowed}: customers are led back nowhere else"
            raise Invalid.field("origin", sentence)

    def outlasts(self, later: "ReturnRules") -> bool:
        """Whether these hold on only because nothing is common to both (`with_stricter`)."""
        return bool(later.origins) and not set(self.origins) & set(later.origins)

    def with_stricter(self, other: "ReturnRules") -> "ReturnRules":
        """What may hold at once of the other: what both allow.

        These hold on where nothing is common to both: no invoice could be made otherwise.
        """
        if not self.origins:
            return other
        return ReturnRules(tuple(o for o in other.origins if o in self.origins) or self.origins)
