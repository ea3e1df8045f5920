"""Reads sanctions lists as their publishers write them (specs/aml.md 6).

Three forms: OFAC's ``SDN.XML`` and ``SDN_ADVANCED.XML``, and a CSV of our own for every other
list. Files come from outside and can be huge, cut off or hostile: XML is streamed, without
entities and without a DTD. Nothing here stores anything.
"""

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Final, NoReturn, Protocol
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from counterfoil.core.errors import Conflict, Invalid
from counterfoil.core.risk_facts import Hit
from counterfoil.providers.screening.addresses import (
    MAX_ADDRESS_LENGTH,
    Family,
    normalise_address,
)

PARSER_VERSION: Final = "1"
"""Kept with every import; raise it whenever the same file would read differently."""

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
MAX_CSV_BYTES: Final = 64 * 1024 * 1024

_CRYPTO: Final = "Digital Currency Address - "
_MAX_DROP_PERCENT: Final = 20
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_FILE: Final = "file"


class Readable(Protocol):
    """A file, or an upload, that hands out its bytes piece by piece."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``; none at the end."""
        ...


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


def read_csv(
    file: bytes | Readable, list_code: str, *, publish_date: date | None = None
) -> ListImport:
    """Read a CSV with a column ``address`` and perhaps ``asset_label, names, programs, entry_uid``.

    UTF-8, with or without a byte order mark; several names or programmes in one cell are
    parted by ``;``; other columns are ignored. Raises `Invalid` naming the row at fault, since
    whoever wrote the file can mend it.
    """
    measured = _Measured(file, MAX_CSV_BYTES)
    addresses: dict[ListedAddress, None] = {}
    entries: set[str] = set()
    for number, row in _csv_rows(measured):
        listed = _csv_address(number, row)
        addresses[listed] = None
        entries.add(f"uid {listed.entry_uid}" if listed.entry_uid else f"row {number}")
    return measured.result(
        list_code, "csv", publish_date, entry_count=len(entries), addresses=addresses
    )


def read_sdn(file: bytes | Readable, list_code: str = "OFAC_SDN") -> ListImport:
    """Read OFAC's ``SDN.XML`` (specs/aml.md 6.1); raises `Invalid` for anything else."""
    measured = _Measured(file, MAX_FILE_BYTES)
    addresses: dict[ListedAddress, None] = {}
    skipped: list[str] = []
    publish_date: date | None = None
    entry_count = 0
    for _, item in _items(measured, root="sdnList", depth=2):
        if _local(item) == "publshInformation":
            publish_date = _us_date(_text(item, "Publish_Date"))
        elif _local(item) == "sdnEntry":
            entry_count += 1
            _collect(_sdn_addresses(item), addresses, skipped)
    return measured.result(
        list_code,
        "sdn",
        publish_date,
        entry_count=entry_count,
        addresses=addresses,
        skipped=skipped,
    )


def read_sdn_advanced(file: bytes | Readable, list_code: str = "OFAC_SDN") -> ListImport:
    """Read OFAC's ``SDN_ADVANCED.XML`` (specs/aml.md 6.1); raises `Invalid` for anything else.

    Elements are matched by local name, because the namespace has changed before, and features
    by the text of their type, so that a new asset needs no release.
    """
    measured = _Measured(file, MAX_FILE_BYTES)
    advanced = _Advanced()
    for section, item in _items(measured, root="Sanctions", depth=3):
        advanced.take(section, item)
    addresses: dict[ListedAddress, None] = {}
    skipped: list[str] = []
    _collect(advanced.addresses(), addresses, skipped)
    return measured.result(
        list_code,
        "sdn_advanced",
        advanced.publish_date(),
        entry_count=advanced.entry_count,
        addresses=addresses,
        skipped=skipped,
    )


READERS: Final[Mapping[str, Callable[[bytes | Readable, str], ListImport]]] = MappingProxyType(
    {"csv": read_csv, "sdn": read_sdn, "sdn_advanced": read_sdn_advanced}
)
"""Form of a file to the function ``(file, list_code)`` that reads it."""


class _Measured(io.RawIOBase):
    """Passes a file through while counting and hashing it, and refuses one that never ends."""

    def __init__(self, file: bytes | Readable, limit_bytes: int) -> None:
        super().__init__()
        self._file = io.BytesIO(file) if isinstance(file, bytes) else file
        self._limit_bytes = limit_bytes
        self._hash = hashlib.sha256()
        self._byte_size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer works
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._hash.update(chunk)
        self._byte_size += len(chunk)
        if self._byte_size > self._limit_bytes:
            _refuse(f"must not be larger than {self._limit_bytes} bytes")
        return len(chunk)

    def result(  # noqa: PLR0913 - one argument per thing that only the reader knows
        self,
        list_code: str,
        parser: str,
        publish_date: date | None,
        *,
        entry_count: int,
        addresses: Iterable[ListedAddress],
        skipped: Iterable[str] = (),
    ) -> ListImport:
        return ListImport(
            list_code=list_code,
            parser=parser,
            parser_version=PARSER_VERSION,
            publish_date=publish_date,
            sha256=self._hash.hexdigest(),
            byte_size=self._byte_size,
            entry_count=entry_count,
            addresses=tuple(addresses),
            skipped=tuple(skipped),
        )


# ------------------------------------------------------------------------------------------ CSV


def _csv_rows(measured: _Measured) -> Iterator[tuple[int, dict[str, str]]]:
    text = io.TextIOWrapper(io.BufferedReader(measured), encoding="utf-8-sig", newline="")
    try:
        reader = csv.reader(text, strict=True)
        columns = [name.strip().lower() for name in next(reader, [])]
        _check_columns(columns)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, _csv_row(reader.line_num, columns, cells)
    except UnicodeDecodeError:
        _refuse("must be UTF-8 text")
    except csv.Error as error:
        _refuse(f"is not a proper CSV: {error}")


def _check_columns(columns: list[str]) -> None:
    if "address" not in columns:
        found = ", ".join(columns)[:200] or "none"
        _refuse(f"must have a column named address in its first line; it has {found}")
    if len(set(columns)) < len(columns):
        _refuse("must not have two columns of the same name")


def _csv_row(number: int, columns: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        _refuse(f"row {number} has {len(cells)} cells, the first line has {len(columns)}")
    return {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}


def _csv_address(number: int, row: dict[str, str]) -> ListedAddress:
    for column in ("address", "asset_label", "names", "programs", "entry_uid"):
        if row.get(column, "").startswith(_FORMULA_STARTS):
            # Reviewers open exports of this in a spreadsheet, which would run the cell.
            _refuse(f"row {number}: {column} starts like a formula")
    if problem := _address_problem(row["address"]):
        _refuse(f"row {number}: the address {problem}")
    family, address = normalise_address(row["address"])
    return ListedAddress(
        family=family,
        address=address,
        label=row.get("asset_label", ""),
        source="csv",
        entry_uid=row.get("entry_uid", ""),
        names=_parts(row.get("names", "")),
        programs=_parts(row.get("programs", "")),
    )


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())


# ------------------------------------------------------------------------------------------ XML


def _items(measured: _Measured, *, root: str, depth: int) -> Iterator[tuple[str, Element]]:
    """Each finished element at ``depth`` (the root is 1), with the local name of its parent.

    Finished elements are dropped from the tree at once, so that memory holds one of them.
    """
    path: list[Element] = []
    try:
        for event, element in iterparse(measured, events=("start", "end"), forbid_dtd=True):
            if event == "start":
                path.append(element)
                _check_root(path[0], root)
                continue
            if len(path) == depth:
                yield _local(path[-2]), element
                path[-2].clear()
            path.pop()
    except DefusedXmlException:
        _refuse("must not declare a DTD or entities")
    except (ParseError, LookupError, ValueError) as error:
        # The last two are expat's words for an encoding it does not know.
        _refuse(f"is not complete, well-formed XML: {error}")


def _check_root(element: Element, root: str) -> None:
    if _local(element) != root:
        _refuse(f"must have the root element {root}, not {_local(element)[:80]}")


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _all(element: Element, *path: str) -> Iterator[Element]:
    """The descendants along a path of local names."""
    if not path:
        yield element
        return
    for child in element:
        if _local(child) == path[0]:
            yield from _all(child, *path[1:])


def _texts(element: Element, *path: str) -> tuple[str, ...]:
    """The non-empty texts of the descendants along a path."""
    texts = ((found.text or "").strip() for found in _all(element, *path))
    return tuple(text for text in texts if text)


def _text(element: Element, *path: str) -> str:
    return next(iter(_texts(element, *path)), "")


def _us_date(text: str) -> date | None:
    """A date as OFAC writes it, ``mm/dd/yyyy``."""
    if not text:
        return None
    try:
        return datetime.strptime(f"{text} +0000", "%m/%d/%Y %z").date()
    except ValueError:
        _refuse(f"has the publish date {text[:40]!r}, which is not mm/dd/yyyy")


def _collect(
    found: Iterable[tuple[str, ListedAddress]],
    addresses: dict[ListedAddress, None],
    skipped: list[str],
) -> None:
    """Sort readable identifiers from the rest.

    One odd identifier must not cost us the whole list, so it is reported and left out.
    """
    for published, listed in found:
        if problem := _address_problem(published):
            skipped.append(f"entry {listed.entry_uid}, {listed.label}: the address {problem}")
        else:
            addresses[listed] = None


def _address_problem(text: str) -> str | None:
    if not text:
        return "is empty"
    if len(text) > MAX_ADDRESS_LENGTH:
        return f"is longer than {MAX_ADDRESS_LENGTH} characters"
    return None if text.isprintable() else "has characters that cannot be printed"


def _sdn_addresses(entry: Element) -> Iterator[tuple[str, ListedAddress]]:
    """The addresses of one ``sdnEntry``, each with its text as published."""
    for identifier in _all(entry, "idList", "id"):
        label = _text(identifier, "idType")
        if label.startswith(_CRYPTO):
            published = _text(identifier, "idNumber")
            family, address = normalise_address(published)
            yield (
                published,
                ListedAddress(
                    family=family,
                    address=address,
                    label=label,
                    source="idList",
                    entry_uid=_text(entry, "uid"),
                    names=_sdn_names(entry),
                    programs=_texts(entry, "programList", "program"),
                ),
            )


def _sdn_names(entry: Element) -> tuple[str, ...]:
    named = (entry, *_all(entry, "akaList", "aka"))
    names = (f"{_text(each, 'firstName')} {_text(each, 'lastName')}".strip() for each in named)
    return tuple(name for name in names if name)


@dataclass(frozen=True, slots=True)
class _Party:
    """A ``DistinctParty`` with addresses: ``found`` are pairs of feature type and text."""

    profile_id: str
    names: tuple[str, ...]
    found: tuple[tuple[str, str], ...]


class _Advanced:
    """Gathers the sections of ``SDN_ADVANCED.XML``, which refer to each other by id."""

    def __init__(self) -> None:
        self.entry_count = 0
        self._date: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._parties: list[_Party] = []
        self._programs: dict[str, tuple[str, ...]] = {}

    def take(self, section: str, item: Element) -> None:
        match section, _local(item):
            case "DateOfIssue", part:
                self._date[part] = (item.text or "").strip()
            case "ReferenceValueSets", "FeatureTypeValues":
                self._take_feature_types(item)
            case "DistinctParties", "DistinctParty":
                self.entry_count += 1
                for profile in _all(item, "Profile"):
                    self._take_profile(profile)
            case "SanctionsEntries", "SanctionsEntry":
                self._take_programs(item)
            case _:
                pass

    def publish_date(self) -> date | None:
        if not self._date:
            return None
        try:
            return date(*(int(self._date[part]) for part in ("Year", "Month", "Day")))
        except (KeyError, ValueError):
            _refuse("has a date of issue that is no date")

    def addresses(self) -> Iterator[tuple[str, ListedAddress]]:
        for party in self._parties:
            for type_id, published in party.found:
                family, address = normalise_address(published)
                yield (
                    published,
                    ListedAddress(
                        family=family,
                        address=address,
                        label=self._labels[type_id],
                        source="feature",
                        entry_uid=party.profile_id,
                        names=party.names,
                        programs=self._programs.get(party.profile_id, ()),
                    ),
                )

    def _take_feature_types(self, values: Element) -> None:
        for feature_type in _all(values, "FeatureType"):
            label = (feature_type.text or "").strip()
            if label.startswith(_CRYPTO):
                self._labels[feature_type.get("ID", "")] = label

    def _take_profile(self, profile: Element) -> None:
        found = tuple(
            (type_id, (detail.text or "").strip())
            for feature in _all(profile, "Feature")
            if (type_id := feature.get("FeatureTypeID", "")) in self._labels
            for detail in _all(feature, "FeatureVersion", "VersionDetail")
        )
        if found:
            names = (
                " ".join(_texts(name, "DocumentedNamePart", "NamePartValue"))
                for name in _all(profile, "Identity", "Alias", "DocumentedName")
            )
            distinct = tuple(dict.fromkeys(name for name in names if name))
            self._parties.append(_Party(profile.get("ID", ""), distinct, found))

    def _take_programs(self, entry: Element) -> None:
        # The programme's code stands in the comment of the measure that belongs to it.
        programs = _texts(entry, "SanctionsMeasure", "Comment")
        profile_id = entry.get("ProfileID", "")
        known = self._programs.get(profile_id, ())
        self._programs[profile_id] = tuple(dict.fromkeys((*known, *programs)))


def _refuse(sentence: str) -> NoReturn:
    raise Invalid.field(_FILE, sentence)
