"""What every use case needs: the books, the time, new ids, and how to read an address."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Context, Status
from counterfoil.core.ports import Clock, Ids
from counterfoil.db.pool import Database

AddressParser = Callable[[str, str], str]
"""Text and the field it came in, to the canonical (lower-case) address; raises `Invalid`."""

Standing = tuple[Status, Context | None]

Tells = Callable[[Standing | None, Standing], bool]
"""Whether a dialect tells merchants of a change from one standing (None: creation) to another."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One process's desk.

    ``approval_key`` seals the warrants that let money leave; only processes in which people act
    hold it, so that nobody can approve money by writing to the database. ``addresses`` maps a
    chain family to its parser.
    """

    database: Database
    clock: Clock
    ids: Ids
    addresses: Mapping[str, AddressParser]
    approval_key: bytes | None = None
    chains: tuple[str, ...] = tuple(CHAINS)
    """The chains this installation watches; no invoice may ask for another."""
    tells: Mapping[str, Tells] = field(default_factory=dict)
    """By dialect; what is not told leaves nothing behind to be told. One not named tells all."""
    rate_max_age_seconds: int = 900
    """Older rates price nothing."""
