"""What a sanctions list says once it is read, and how two versions of one compare.

Source: specs/aml.md 6.5. Nothing here reads a file or stores anything.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from counterfoil.core.errors import Conflict
from counterfoil.core.risk_facts import Hit
from counterfoil.providers.screening.addresses import Family

_MAX_DROP_PERCENT: Final = 20


@dataclass(frozen=True, slots=True)
class ListedAddress:
    """One address of one entry, under one label; an address may stand under several."""

    family: Family
    address: str
    label: str
    source: str
    entry_uid: str = ""
    names: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListContent:
    """What two versions of a list are compared by: ``(family, address)`` pairs and totals."""

    entry_count: int
    addresses: frozenset[tuple[str, str]]
    publish_date: date | None


@dataclass(frozen=True, slots=True)
class ListImport:
    """A list as read, with where it came from (specs/aml.md 6.5).

    ``entry_count`` counts every entry, also those without an address. ``skipped`` says, one
    sentence each, which identifiers could not be read.
    """

    list_code: str
    parser: str
    parser_version: str
    publish_date: date | None
    sha256: str
    byte_size: int
    entry_count: int
    addresses: tuple[ListedAddress, ...]
    skipped: tuple[str, ...] = ()

    @property
    def address_count(self) -> int:
        """How many different addresses there are, whatever their labels."""
        return len(self.content.addresses)

    @property
    def content(self) -> ListContent:
        """What the next version will be compared with."""
        pairs = frozenset((a.family, a.address) for a in self.addresses)
        return ListContent(self.entry_count, pairs, self.publish_date)


@dataclass(frozen=True, slots=True)
class ListDiff:
    """What a new version adds and takes away, as sorted ``(family, address)`` pairs."""

    added: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str], ...]


def compare_imports(
    old: ListContent | None, new: ListContent, *, override: bool = False
) -> ListDiff:
    """The difference between two versions of a list; ``old`` is None for the first one.

    Raises `Conflict` for a version without any address, one that loses more than 20 % of the
    entries or addresses, or one older than what we have: each of those looks like a broken or
    replayed file. ``override`` is the operator's word that it is right nevertheless.
    """
    before = old.addresses if old else frozenset()
    diff = ListDiff(
        added=tuple(sorted(new.addresses - before)), removed=tuple(sorted(before - new.addresses))
    )
    doubts = tuple(_doubts(old, new, diff))
    if doubts and not override:
        message = f"this list was not imported: {'; '.join(doubts)}"
        raise Conflict(message, data={"reasons": list(doubts), "override": True})
    return diff


def _doubts(old: ListContent | None, new: ListContent, diff: ListDiff) -> Iterator[str]:
    if not new.addresses:
        yield "it has no address at all"
    if old is None:
        return
    for what, lost, had in (
        ("entries", old.entry_count - new.entry_count, old.entry_count),
        ("addresses", len(diff.removed), len(old.addresses)),
    ):
        if lost * 100 > had * _MAX_DROP_PERCENT:
            yield f"it loses {lost} of {had} {what}, more than {_MAX_DROP_PERCENT} %"
    if new.publish_date and old.publish_date and new.publish_date < old.publish_date:
        yield f"it is of {new.publish_date}, older than the {old.publish_date} we have"


def hits_of(list_code: str, found: Iterable[ListedAddress], *, exact: bool) -> tuple[Hit, ...]:
    """The hits for addresses found on a list: one per entry, with all of its labels."""
    by_entry: defaultdict[tuple[str, str, str], list[ListedAddress]] = defaultdict(list)
    for listed in found:
        by_entry[listed.family, listed.address, listed.entry_uid].append(listed)
    return tuple(
        Hit(
            list_code=list_code,
            match="exact_address" if exact else "same_key",
            label=", ".join(sorted({a.label for a in same})),
            source=same[0].source,
            entry_uid=same[0].entry_uid,
            names=same[0].names,
            programs=same[0].programs,
            hard=exact,
        )
        for same in by_entry.values()
    )
