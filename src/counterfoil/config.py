"""Settings: read once from the environment, typed, and refused at start when they are wrong.

Each process asks for its own part only: the web never needs the seed, the signer never needs the
database. A secret may stand in a file instead, named by the same variable with ``_FILE`` added.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from counterfoil.core.assets import CHAINS, ETHER_DOLLARS, FUEL_DAY_WEI
from counterfoil.core.errors import Invalid
from counterfoil.core.money import parse_units

PREFIX: Final = "COUNTERFOIL_"

SECRET_CHARACTERS: Final = 32
"""The shortest secret accepted: 32 random characters of base64 carry 192 bits."""

SCREENERS: Final = ("issuer_freeze", "simulated")
"""What can be asked about an address; ``simulated`` invents its answers, for sandboxes."""

_PLACEHOLDER: Final = re.compile(
    r"change.?me|example|password|passphrase|secret|default|insecure|placeholder|12345|your.?key",
    re.IGNORECASE,
)
_FEWEST_DIFFERENT: Final = 10
_LEAST_FUEL_DAY_WEI: Final = 10**17
"""What two wallets get that start from nothing; with less an organisation could not begin."""

_MOST_FUEL_DAY_WEI: Final = 1000 * 10**18
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]")
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - to ask for more, not to listen
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class ConfigError(Exception):
    """A setting is missing or wrong; names the variable and says what to do."""


class Secret:
    """A text that never shows itself in a repr, a log line or a traceback."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hide the text."""
        self._text = text

    def reveal(self) -> str:
        """Hand out the text, to whoever really needs it."""
        return self._text

    def __repr__(self) -> str:
        """Say that there is one, and nothing about it."""
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        """Compare by text."""
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        """Hash by text."""
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """Where the database is: ``url`` of a server, or None for our own one in ``embedded_dir``."""

    url: Secret | None
    embedded_dir: Path

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read ``DATABASE_URL`` and ``VAR_DIR``; raises `ConfigError`."""
        env = _Environment(environ)
        return cls(url=env.database_url(), embedded_dir=env.var_dir() / "postgres")


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What ``counterfoil serve`` needs.

    ``approval_secret`` seals the warrants by which the signer knows what people approved; the
    workers never have it. ``chains`` are the keys of those that are on. ``public_url`` is where
    people reach the pages, without a path; ``allowed_hosts`` are other names they may use.
    ``trusted_proxies`` of ours pass every request on. In a ``sandbox`` somebody at
    ``demo_customer_url`` pays for those who try it out. ``secret`` is for showing administrators
    what signs their callbacks; without it only the command line shows that.
    """

    database: DatabaseConfig
    host: str
    port: int
    approval_secret: Secret
    chains: tuple[str, ...]
    rate_max_age_seconds: int
    requests_per_second: int
    payers_per_second: int
    callback_allow_private: bool
    public_url: str
    allowed_hosts: tuple[str, ...]
    trusted_proxies: int
    payment_page_days: int
    sandbox: bool
    demo_customer_url: str | None
    secret: Secret | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the web's settings; raises `ConfigError`."""
        env = _Environment(environ)
        host, port = env.text("HOST", "127.0.0.1"), env.whole("PORT", 8080, 1, 65_535)
        sandbox = env.switch("SANDBOX")
        return cls(
            database=DatabaseConfig.from_env(environ),
            host=host,
            port=port,
            public_url=env.origin("PUBLIC_URL") or _own_url(host, port),
            allowed_hosts=env.hosts("ALLOWED_HOSTS"),
            trusted_proxies=env.whole("TRUSTED_PROXIES", 0, 0, 9),
            payment_page_days=env.whole("PAYMENT_PAGE_DAYS", 30, 1, 3_650),
            payers_per_second=env.whole("PAYERS_PER_SECOND", 50, 1, 1_000_000),
            sandbox=sandbox,
            demo_customer_url=env.demo_customer_url() if sandbox else None,
            approval_secret=env.secret("APPROVAL_SECRET"),
            chains=tuple(read_chains(environ)),
            requests_per_second=env.whole("REQUESTS_PER_SECOND", 100, 1, 1_000_000),
            rate_max_age_seconds=env.rate_max_age_seconds(),
            callback_allow_private=env.switch("CALLBACK_ALLOW_PRIVATE"),
            secret=env.secret_if_set("SECRET"),
        )


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """How to reach one chain: its endpoints in order of preference, and how often to look.

    ``fuel_day_wei`` is the most that a gas station hands out there in a day. ``head_endpoints``
    say at once when a block came, by WebSocket, so that nobody waits for the next look.
    """

    endpoints: tuple[Secret, ...]
    poll_seconds: float
    fuel_day_wei: int = FUEL_DAY_WEI
    head_endpoints: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkConfig:
    """What ``counterfoil work`` needs.

    ``chains`` has the chains that are on, by key. ``screeners`` are asked about every payer
    besides the sanctions lists. Payments to an invoice are confirmed, once it has received
    ``two_nodes_from_dollars`` altogether, when two nodes of the chain agree on them.
    ``rate_value_at`` and ``rate_time_at`` are JSON pointers to the rate and to its time in the
    answer of ``rate_url``; without the latter an answer counts as of now. A source's rate that
    leaps by more than ``rate_max_leap_percent`` from its last one is refused. Every organisation
    has up to ``addresses_in_stock`` free deposit addresses.
    """

    database: DatabaseConfig
    secret: Secret
    signer_socket: Path
    chains: Mapping[str, ChainConfig]
    rate_file: Path | None
    rate_url: str | None
    rate_value_at: str
    rate_time_at: str | None
    rate_max_age_seconds: int
    rate_max_leap_percent: int
    screeners: tuple[str, ...]
    callback_allow_private: bool
    two_nodes_from_dollars: int
    addresses_in_stock: int

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the workers' settings; raises `ConfigError`."""
        env = _Environment(environ)
        return cls(
            database=DatabaseConfig.from_env(environ),
            secret=env.secret("SECRET"),
            signer_socket=env.signer_socket(),
            chains=read_chains(environ),
            rate_file=env.path("RATE_FILE"),
            rate_url=env.url("RATE_URL"),
            rate_value_at=env.text("RATE_VALUE_AT", "/rate"),
            rate_time_at=env.text("RATE_TIME_AT", "") or None,
            rate_max_age_seconds=env.rate_max_age_seconds(),
            rate_max_leap_percent=env.whole("RATE_MAX_LEAP_PERCENT", 20, 1, 1_000),
            screeners=env.some_of("SCREENERS", SCREENERS, "issuer_freeze"),
            callback_allow_private=env.switch("CALLBACK_ALLOW_PRIVATE"),
            two_nodes_from_dollars=env.whole("TWO_NODES_FROM_DOLLARS", 10_000, 0, 999_999_999),
            addresses_in_stock=env.whole("ADDRESSES_IN_STOCK", 5_000, 100, 100_000),
        )


@dataclass(frozen=True, slots=True)
class SignConfig:
    """What ``counterfoil sign`` needs; it knows no database and no chain.

    ``move_dollars`` and ``day_dollars`` are the most that may leave at once, and in a day per
    organisation, stablecoins counted one to one and an ether as ``ether_dollars``.
    ``fuel_day_wei`` is the most that a gas station may hand out in a day, by chain.
    """

    signer_socket: Path
    seed_file: Path
    seed_passphrase: Secret
    approval_secret: Secret
    move_dollars: int
    day_dollars: int
    ether_dollars: int
    fuel_day_wei: Mapping[str, int]

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the signer's settings; raises `ConfigError`."""
        env = _Environment(environ)
        return cls(
            signer_socket=env.signer_socket(),
            seed_file=env.path("SEED_FILE") or env.var_dir() / "signer" / "seed.age",
            seed_passphrase=env.secret("SEED_PASSPHRASE"),
            approval_secret=env.secret("APPROVAL_SECRET"),
            move_dollars=env.whole("LIMIT_MOVE_DOLLARS", 100_000, 1, 999_999_999),
            day_dollars=env.whole("LIMIT_DAY_DOLLARS", 500_000, 1, 999_999_999),
            ether_dollars=env.whole("LIMIT_ETHER_DOLLARS", ETHER_DOLLARS, 1, 999_999_999),
            fuel_day_wei={key: env.fuel_day_wei(key) for key in CHAINS},
        )


def read_chains(environ: Mapping[str, str]) -> Mapping[str, ChainConfig]:
    """The chains that are on: ``RPC_ARB`` and its like hold endpoints, separated by commas."""
    env = _Environment(environ)
    chains = {}
    for key in CHAINS:
        endpoints = env.endpoints(f"RPC_{key.upper()}")
        heads = env.endpoints(f"WS_{key.upper()}", ("ws", "wss"))
        poll_seconds = env.seconds(f"POLL_SECONDS_{key.upper()}", 0.25)
        if endpoints:
            chains[key] = ChainConfig(endpoints, poll_seconds, env.fuel_day_wei(key), heads)
    if not chains:
        names = " or ".join(f"{PREFIX}RPC_{key.upper()}" for key in CHAINS)
        message = f"no chain is on: set {names} to the address of a node"
        raise ConfigError(message)
    return chains


def read_approval_secret(environ: Mapping[str, str]) -> Secret:
    """What seals the warrants, for the commands by which people approve money."""
    return _Environment(environ).secret("APPROVAL_SECRET")


class _Environment:
    """The variables of ours, each turned into a value or a sentence about what is wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._read(name) or default

    def whole(self, name: str, default: int, lowest: int, highest: int) -> int:
        text = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text) or not lowest <= int(text) <= highest:
            raise _wrong(name, f"must be a whole number from {lowest} to {highest}")
        return int(text)

    def seconds(self, name: str, default: float) -> float:
        text = self.text(name, str(default))
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= 3600:  # noqa: PLR2004 - an hour; NaN fails the comparison too
            raise _wrong(name, "must be a number of seconds above 0, at most 3600")
        return seconds

    def fuel_day_wei(self, chain: str) -> int:
        """What a gas station may hand out in a day on a chain; what workers and signer both ask."""
        name = f"LIMIT_FUEL_DAY_ETHER_{chain.upper()}"
        text = self._read(name)
        if text is None:
            return FUEL_DAY_WEI
        try:
            wei = parse_units(text, 18, name)
        except Invalid:
            wei = 0
        if not _LEAST_FUEL_DAY_WEI <= wei <= _MOST_FUEL_DAY_WEI:
            raise _wrong(name, "must be a number of ether from 0.1 to 1000, such as 0.5")
        return wei

    def switch(self, name: str) -> bool:
        text = self.text(name, "false").lower()
        if text not in _TRUE | _FALSE:
            raise _wrong(name, "must be true or false")
        return text in _TRUE

    def some_of(self, name: str, known: tuple[str, ...], default: str) -> tuple[str, ...]:
        """Names separated by commas; ``none`` for none of them."""
        text = self.text(name, default)
        chosen = () if text == "none" else tuple(part.strip() for part in text.split(","))
        if not set(chosen) <= set(known):
            raise _wrong(name, f"must be none, or names out of {', '.join(known)}")
        return chosen

    def path(self, name: str) -> Path | None:
        text = self._read(name)
        return Path(text).absolute() if text else None

    def url(self, name: str) -> str | None:
        text = self._read(name)
        if text is not None:
            _check_url(name, text, ("http", "https"))
        return text

    def origin(self, name: str) -> str | None:
        """Where people reach us: scheme, host and port, and nothing behind them."""
        text = self._read(name)
        if text is None:
            return None
        found = re.fullmatch(r"(https?://[a-z0-9.\[\]:-]+)/?", text)
        if found is None:
            raise _wrong(name, "must be an address such as https://pay.merchant.example, no path")
        return found[1]

    def hosts(self, name: str) -> tuple[str, ...]:
        """Names of hosts, separated by commas, without ports."""
        parts = [part.strip() for part in self.text(name, "").split(",")]
        found = tuple(part for part in parts if part)
        if not all(_HOST.fullmatch(part) for part in found):
            raise _wrong(name, "must be names such as pay.merchant.example, separated by commas")
        return found

    def demo_customer_url(self) -> str | None:
        text = self._read("DEMO_CUSTOMER_URL")
        if text is not None and not re.fullmatch(r"http://127\.0\.0\.1:[0-9]{1,5}/\S*", text):
            raise _wrong("DEMO_CUSTOMER_URL", "must be an address on this machine, 127.0.0.1")
        return text

    def endpoints(
        self, name: str, schemes: tuple[str, ...] = ("http", "https")
    ) -> tuple[Secret, ...]:
        """Addresses of nodes, hidden because they often carry the key to a paid service."""
        parts = [part.strip() for part in self.text(name, "").split(",")]
        found = [part for part in parts if part]
        for endpoint in found:
            _check_url(name, endpoint, schemes)
        return tuple(Secret(endpoint) for endpoint in found)

    def secret_if_set(self, name: str) -> Secret | None:
        return None if self._secret_text(name) is None else self.secret(name)

    def secret(self, name: str) -> Secret:
        text = self._secret_text(name)
        advice = "make one with `openssl rand -base64 32`, and keep it"
        if not text:
            raise _wrong(name, f"is missing: {advice} ({PREFIX}{name}_FILE may name a file)")
        if len(text) < SECRET_CHARACTERS:
            raise _wrong(name, f"is shorter than {SECRET_CHARACTERS} characters: {advice}")
        if _PLACEHOLDER.search(text) or len(set(text)) < _FEWEST_DIFFERENT:
            raise _wrong(name, f"looks like a placeholder: {advice}")
        return Secret(text)

    def database_url(self) -> Secret | None:
        text = self._secret_text("DATABASE_URL")
        if not text:
            return None
        _check_url("DATABASE_URL", text, ("postgresql", "postgres"))
        return Secret(text)

    def var_dir(self) -> Path:
        return Path(self.text("VAR_DIR", "var")).absolute()

    def signer_socket(self) -> Path:
        return self.path("SIGNER_SOCKET") or self.var_dir() / "signer" / "socket"

    def rate_max_age_seconds(self) -> int:
        return self.whole("RATE_MAX_AGE_SECONDS", 300, 1, 86_400)

    def _read(self, name: str) -> str | None:
        text = self._environ.get(PREFIX + name)
        return text.strip() or None if text else None

    def _secret_text(self, name: str) -> str | None:
        text, file = self._read(name), self.path(f"{name}_FILE")
        if text and file:
            raise _wrong(name, f"is set twice, as itself and as {PREFIX}{name}_FILE: keep one")
        if file is None:
            return text
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            name_of_file = f"{name}_FILE"
            raise _wrong(name_of_file, f"names a file that cannot be read: {file}") from error


def _bracketed(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host


def _own_url(host: str, port: int) -> str:
    """Where people reach us if nothing stands in front; raises `ConfigError` where that is open."""
    if host in _EVERYWHERE:
        sentence = "is missing: HOST listens on every address, so say under which people come"
        raise _wrong("PUBLIC_URL", sentence)
    return f"http://{_bracketed(host)}:{port}"


def _check_url(name: str, text: str, schemes: tuple[str, ...]) -> None:
    """Check the beginning only, and never repeat the text: it may hold a password."""
    scheme, separator, rest = text.partition("://")
    if scheme not in schemes or not separator or not rest or re.search(r"\s", text):
        raise _wrong(name, f"must be an address that starts with {schemes[0]}://")


def _wrong(name: str, sentence: str) -> ConfigError:
    return ConfigError(f"{PREFIX}{name} {sentence}")
