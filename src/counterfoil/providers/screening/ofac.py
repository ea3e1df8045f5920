"""Reads OFAC's own two forms of its list, ``SDN.XML`` and ``SDN_ADVANCED.XML``.

Source: specs/aml.md 6.1. XML is streamed, without entities and without a DTD.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from counterfoil.providers.screening.addresses import normalise_address
from counterfoil.providers.screening.list_content import ListedAddress, ListImport
from counterfoil.providers.screening.list_file import (
    MeasuredFile,
    Readable,
    address_problem,
    refuse,
)

MAX_FILE_BYTES: Final = 512 * 1024 * 1024

_CRYPTO: Final = "Digital Currency Address - "


def read_sdn(file: bytes | Readable, list_code: str = "OFAC_SDN") -> ListImport:
    """Read OFAC's ``SDN.XML`` (specs/aml.md 6.1); raises `Invalid` for anything else."""
    measured = MeasuredFile(file, MAX_FILE_BYTES)
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
    measured = MeasuredFile(file, MAX_FILE_BYTES)
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


def _items(measured: MeasuredFile, *, root: str, depth: int) -> Iterator[tuple[str, Element]]:
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
        refuse("must not declare a DTD or entities")
    except (ParseError, LookupError, ValueError) as error:
        # The last two are expat's words for an encoding it does not know.
        refuse(f"is not complete, well-formed XML: {error}")


def _check_root(element: Element, root: str) -> None:
    if _local(element) != root:
        refuse(f"must have the root element {root}, not {_local(element)[:80]}")


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
        refuse(f"has the publish date {text[:40]!r}, which is not mm/dd/yyyy")


def _collect(
    found: Iterable[tuple[str, ListedAddress]],
    addresses: dict[ListedAddress, None],
    skipped: list[str],
) -> None:
    """Sort readable identifiers from the rest.

    One odd identifier must not cost us the whole list, so it is reported and left out.
    """
    for published, listed in found:
        if problem := address_problem(published):
            skipped.append(f"entry {listed.entry_uid}, {listed.label}: the address {problem}")
        else:
            addresses[listed] = None


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
            refuse("has a date of issue that is no date")

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
