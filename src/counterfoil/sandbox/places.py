"""Where the sandbox keeps its things, all of it below ``var``."""

import fcntl
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Conflict
from counterfoil.db.embedded import EmbeddedPostgres


class DemoMember(msgspec.Struct, frozen=True):
    """A member of the demo's organisation, with everything needed to act as them."""

    email: str
    name: str
    password: str
    roles: tuple[str, ...]
    api_key: str


class DemoChain(msgspec.Struct, frozen=True):
    """One local chain and the tokens on it."""

    rpc_url: str
    chain_id: int
    tokens: dict[str, str]


class DemoPayer(msgspec.Struct, frozen=True):
    """The paying customer's account, funded on every chain."""

    evm_address: str
    evm_private_key: str


class DemoFacts(msgspec.Struct, frozen=True):
    """``var/demo.json``: how scripts drive the running sandbox, at ``base_url``.

    ``public_url`` is where people go with a browser; ``neighbours`` are members of the other
    organisation.
    """

    base_url: str
    client_id: str
    org_id: int
    members: tuple[DemoMember, ...]
    chains: dict[str, DemoChain]
    payer: DemoPayer
    callback_inbox_url: str
    neighbours: tuple[DemoMember, ...] = ()
    public_url: str = ""

    def member(self, role: str) -> DemoMember:
        """The first member who holds a role; ``LookupError`` when nobody does."""
        found = next((m for m in self.members if role in m.roles), None)
        if found is None:
            msg = f"nobody in the demo is {role}"
            raise LookupError(msg)
        return found


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one sandbox."""

    var: Path

    @property
    def facts(self) -> Path:
        """How to drive the sandbox while it runs."""
        return self.var / "demo.json"

    @property
    def postgres(self) -> Path:
        """The embedded server's folder."""
        return self.var / "postgres"

    @property
    def seed(self) -> Path:
        """The signer's sealed seed."""
        return self.var / "signer" / "seed.age"

    @property
    def socket(self) -> Path:
        """Where the signer answers; short, since the system cuts long socket names off."""
        return self.var / "signer" / "s.sock"

    @property
    def rates(self) -> Path:
        """The rates that the price worker reads."""
        return self.var / "rates.json"

    @property
    def unfinished(self) -> Path:
        """There while a first start is under way, so that one cut short begins anew."""
        return self.var / "unfinished"

    def clear(self) -> None:
        """Remove everything that a sandbox keeps, and nothing else."""
        if self.postgres.exists():
            EmbeddedPostgres(self.postgres).destroy()
        for path in (self.var / "chains", self.var / "signer", self.var / "secrets"):
            shutil.rmtree(path, ignore_errors=True)
        for file in (self.facts, self.rates, self.unfinished, self.var / "demo.log"):
            file.unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep everybody else from using this sandbox meanwhile; `Conflict` if somebody does."""
        self.var.mkdir(parents=True, exist_ok=True)
        with (self.var / "demo.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    f"a sandbox is running in {self.var}; stop it there with Ctrl-C first"
                ) from None
            yield

    def chain_state(self, key: str) -> Path:
        """Where a local chain keeps its state between runs."""
        return self.var / "chains" / f"{key}.json"

    def secret(self, name: str) -> Path:
        """A file with a secret, made on first use, readable by its owner alone."""
        path = self.var / "secrets" / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(48), encoding="utf-8")
        return path

    def write(self, facts: DemoFacts) -> None:
        """Write ``demo.json``, which holds keys and so is readable by its owner alone."""
        self.facts.touch(mode=0o600)
        text = msgspec.json.format(msgspec.json.encode(facts), indent=2)
        self.facts.write_bytes(text)

    def read(self) -> DemoFacts | None:
        """What the last run wrote, or None before the first."""
        if not self.facts.exists():
            return None
        return msgspec.json.decode(self.facts.read_bytes(), type=DemoFacts)


@contextmanager
def passing_places() -> Iterator[Places]:
    """A folder for one sandbox that vanishes with its database, for tests and measurements."""
    # Short, since a socket lies in it; and open to pass for the user whom root's server runs as.
    above = Path(tempfile.mkdtemp(prefix="cf-"))
    above.chmod(0o711)
    places = Places(above / "v")
    try:
        yield places
    finally:
        if places.postgres.exists():
            EmbeddedPostgres(places.postgres).destroy()
        shutil.rmtree(above)


def tokens_of(key: str) -> dict[str, str]:
    """Symbol to contract of the tokens that are accepted on a chain."""
    return {asset.symbol: asset.contract for asset in CHAINS[key].accepted}
