"""What the list importers read, and what they refuse; F numbers are of specs/aml.md 10."""

import csv
import gc
import hashlib
import io
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

import pytest

from counterfoil.core.errors import Conflict, Invalid
from counterfoil.providers.screening import lists
from counterfoil.providers.screening.addresses import normalise_address
from counterfoil.providers.screening.list_content import (
    ListContent,
    ListImport,
    compare_imports,
    hits_of,
)
from counterfoil.providers.screening.lists import READERS, read_csv
from counterfoil.providers.screening.ofac import read_sdn, read_sdn_advanced

DATA: Final = Path(__file__).parent.parent / "data"
SAMPLE: Final = DATA / "ofac_addresses_sample.csv"
SDN: Final = (DATA / "sdn_sample.xml").read_bytes()
ADVANCED: Final = (DATA / "sdn_advanced_sample.xml").read_bytes()
RONIN: Final = "0x098b716b8aaf21512996dc57eb0615e2383e2f96"
TRON_UNDER_XBT: Final = "TUCsTq7TofTCJRRoHk6RvhMoS2mJLm5Yzq"
XML_READERS: Final = (read_sdn, read_sdn_advanced)


def refused(read: Callable[[bytes], ListImport], file: bytes) -> str:
    with pytest.raises(Invalid) as refusal:
        read(file)
    return refusal.value.fields["file"]


def read_csv_file(file: bytes) -> ListImport:
    return read_csv(file, "TW_TFS")


class TestOurSample:
    """The dated OFAC sample, one address per row."""

    @staticmethod
    def read() -> ListImport:
        return read_csv(SAMPLE.read_bytes(), "OFAC_SDN", publish_date=date(2024, 9, 27))

    def test_counts_rows_and_different_addresses(self) -> None:
        imported = self.read()

        assert (imported.entry_count, imported.address_count) == (835, 822)
        assert imported.publish_date == date(2024, 9, 27)
        assert imported.skipped == ()

    def test_knows_where_it_came_from(self) -> None:
        imported = self.read()

        assert imported.sha256 == hashlib.sha256(SAMPLE.read_bytes()).hexdigest()
        assert imported.byte_size == SAMPLE.stat().st_size
        assert (imported.parser, imported.parser_version) == ("csv", "1")

    def test_agrees_with_every_family_in_the_file(self) -> None:
        families = {"bitcoin": "other"}
        with SAMPLE.open(newline="") as file:
            for row in csv.DictReader(file):
                expected = families.get(row["address_family"], row["address_family"])
                assert normalise_address(row["address"])[0] == expected, row["address"]

    def test_f25_keeps_every_label_and_hits_once(self) -> None:
        three = "0x4f47bc496083c727c5fbe3ce9cdf2b0f6496270c"
        found = [a for a in self.read().addresses if a.address == three]

        (hit,) = hits_of("OFAC_SDN", found, exact=True)

        assert len(found) == 3
        assert (hit.label, hit.match, hit.hard) == ("ARB, BSC, ETH", "exact_address", True)


class TestCsv:
    """Lists that an operator prepares by hand."""

    def test_reads_every_column_in_any_order_and_case(self) -> None:
        file = (
            "Programs,ADDRESS,names,entry_uid,asset_label,remarks\n"
            f'TFS;UN,{RONIN.upper()},"Doe, Jane; J. Doe",7,ETH,whatever\n'
        )

        (listed,) = read_csv_file(file.encode()).addresses

        assert (listed.family, listed.address) == ("evm", RONIN)
        assert listed.names == ("Doe, Jane", "J. Doe")
        assert listed.programs == ("TFS", "UN")
        assert (listed.entry_uid, listed.label, listed.source) == ("7", "ETH", "csv")

    def test_accepts_a_byte_order_mark_and_windows_lines(self) -> None:
        file = f"\ufeffaddress\r\n{RONIN}\r\n\r\n".encode()

        assert read_csv_file(file).address_count == 1

    def test_counts_a_repeated_address_once(self) -> None:
        file = f"address,entry_uid\n{RONIN},7\n{RONIN},7\n{RONIN},8\n".encode()

        imported = read_csv_file(file)

        assert (len(imported.addresses), imported.address_count) == (2, 1)
        assert imported.entry_count == 2

    def test_reads_from_a_stream(self) -> None:
        stream = io.BytesIO(f"address\n{RONIN}\n".encode())

        assert read_csv(stream, "TW_TFS").address_count == 1

    def test_an_empty_list_is_read_and_then_doubted(self) -> None:
        imported = read_csv_file(b"address\n")

        assert imported.entry_count == 0
        with pytest.raises(Conflict, match="no address at all"):
            compare_imports(None, imported.content)

    @pytest.mark.parametrize(
        ("file", "reason"),
        [
            (b"", "it has none"),
            (b"wallet,name\n0x1,Jane\n", "it has wallet, name"),
            (f"address;names\n{RONIN};Jane\n".encode(), "it has address;names"),
            (b"address,address\na,b\n", "two columns of the same name"),
            (b'address,names\nabc,"=HYPERLINK(""http://evil"")"\n', "row 2: names starts like"),
            (b"address\n@SUM(A1)\n", "row 2: address starts like a formula"),
            (b"address,names\nabc\n", "row 2 has 1 cells"),
            (b"address,names\nabc,Jane,extra\n", "row 2 has 3 cells"),
            (b"address,names\n,Jane\n", "row 2: the address is empty"),
            (b"address\n" + b"a" * 257 + b"\n", "longer than 256"),
            (b"address\nab\x07c\n", "cannot be printed"),
            (b"address\n\xff\xfe\n", "UTF-8"),
            (f"address\n{RONIN}\n".encode("utf-16"), "UTF-8"),
            (b'address\n"abc\n', "not a proper CSV"),
            (b"address\n" + b"a" * 200_000 + b"\n", "not a proper CSV"),
            (SDN, "must have a column named address"),
        ],
    )
    def test_refuses_and_says_where(self, file: bytes, reason: str) -> None:
        assert reason in refused(read_csv_file, file)

    def test_refuses_a_file_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lists, "MAX_CSV_BYTES", 1000)

        assert "larger than 1000 bytes" in refused(read_csv_file, b"address\n" + b"abc\n" * 300)


class TestSdn:
    """OFAC's SDN.XML."""

    def test_reads_addresses_names_and_programmes(self) -> None:
        imported = read_sdn(SDN)

        first = imported.addresses[0]
        assert (first.family, first.address) == ("evm", RONIN)
        assert (first.label, first.source) == ("Digital Currency Address - ETH", "idList")
        assert (first.entry_uid, first.names) == ("101", ("Jane EXAMPLE", "Johanna MUSTER"))
        assert first.programs == ("CYBER2", "DPRK3")
        assert imported.publish_date == date(2026, 6, 20)
        assert (imported.entry_count, imported.address_count) == (3, 3)
        assert imported.list_code == "OFAC_SDN"

    def test_goes_by_the_bytes_and_never_by_the_label(self) -> None:
        assert ("tron", TRON_UNDER_XBT) in read_sdn(SDN).content.addresses

    def test_reports_what_it_could_not_read(self) -> None:
        assert read_sdn(SDN).skipped == (
            "entry 103, Digital Currency Address - ETH: the address is empty",
        )

    def test_survives_another_namespace(self) -> None:
        older = SDN.replace(b"https://sanctionslistservice", b"http://tempuri")

        assert read_sdn(older).content == read_sdn(SDN).content

    def test_refuses_a_date_it_cannot_read(self) -> None:
        assert "2026-06-20" in refused(read_sdn, SDN.replace(b"06/20/2026", b"2026-06-20"))

    def test_does_not_need_a_date(self) -> None:
        assert read_sdn(SDN.replace(b"06/20/2026", b"")).publish_date is None


class TestAdvanced:
    """OFAC's SDN_ADVANCED.XML."""

    def test_reads_addresses_names_and_programmes(self) -> None:
        imported = read_sdn_advanced(ADVANCED)

        eth, new = imported.addresses
        assert (eth.family, eth.address) == ("evm", RONIN)
        assert eth.label == "Digital Currency Address - ETH"
        assert (eth.entry_uid, eth.names) == ("101", ("EXAMPLE Jane", "MUSTER"))
        assert eth.programs == ("CYBER2", "DPRK3")
        assert imported.publish_date == date(2026, 6, 20)
        assert (imported.entry_count, imported.address_count) == (2, 2)
        assert (new.family, new.label) == ("other", "Digital Currency Address - NEWCOIN")

    def test_refuses_a_date_that_is_none(self) -> None:
        impossible = ADVANCED.replace(b"<Month>6<", b"<Month>16<")

        assert "date of issue" in refused(read_sdn_advanced, impossible)

    def test_agrees_with_the_plain_form(self) -> None:
        assert ("evm", RONIN) in (
            read_sdn(SDN).content.addresses & read_sdn_advanced(ADVANCED).content.addresses
        )


BILLION_LAUGHS: Final = b"""<?xml version="1.0"?>
<!DOCTYPE sdnList [
  <!ENTITY lol "lol">
  <!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
  <!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">
]>
<sdnList>&lol3;</sdnList>"""
LOCAL_FILE: Final = b"""<?xml version="1.0"?>
<!DOCTYPE Sanctions [<!ENTITY secret SYSTEM "file:///etc/passwd">]>
<Sanctions>&secret;</Sanctions>"""


@pytest.mark.parametrize("read", XML_READERS)
@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (BILLION_LAUGHS, "DTD"),
        (LOCAL_FILE, "DTD"),
        (b"", "well-formed"),
        (b"address\n0x1\n", "well-formed"),
        (SDN[:-200], "well-formed"),
        (ADVANCED[: len(ADVANCED) // 2], "well-formed"),
        (b"<html><body/></html>", "must have the root element"),
        (b'<?xml version="1.0" encoding="klingon"?><sdnList/>', "well-formed"),
        (b'<?xml version="1.0" encoding="utf-32"?><sdnList/>', "well-formed"),
        (b'<?xml version="1.0" encoding="shift_jis"?><sdnList/>', "well-formed"),
        (b"<sdnList>" + b"<a>" * 200_000, "well-formed"),
    ],
)
def test_hostile_or_broken_xml_is_refused(
    read: Callable[[bytes], ListImport], file: bytes, reason: str
) -> None:
    sentence = refused(read, file)

    assert reason in sentence or "must have the root element" in sentence


@pytest.mark.parametrize(("read", "other"), [(read_sdn, ADVANCED), (read_sdn_advanced, SDN)])
def test_one_form_is_not_mistaken_for_the_other(
    read: Callable[[bytes], ListImport], other: bytes
) -> None:
    assert "must have the root element" in refused(read, other)


def test_every_form_has_its_reader() -> None:
    files = {"csv": f"address\n{RONIN}\n".encode(), "sdn": SDN, "sdn_advanced": ADVANCED}

    for form, read in READERS.items():
        assert ("evm", RONIN) in read(files[form], "ANY").content.addresses


class LongList:
    """A list with one entry repeated, which never exists as a whole.

    ``alive`` is the number of XML elements in memory when the last piece is handed out.
    """

    def __init__(self, sample: bytes, entry_starts: bytes, entry_ends: bytes) -> None:
        start = sample.index(entry_starts)
        end = sample.index(entry_ends, start) + len(entry_ends)
        self._pieces = [sample[end:], *[sample[start:end]] * 3000, sample[:start]]
        self._ready = b""
        self.alive = 0

    def read(self, size: int, /) -> bytes:
        while len(self._ready) < size and self._pieces:
            self._ready += self._pieces.pop()
        chunk, self._ready = self._ready[:size], self._ready[size:]
        if chunk and not self._pieces:
            self.alive = sum(isinstance(thing, Element) for thing in gc.get_objects())
        return chunk


@pytest.mark.parametrize(
    ("read", "long_list"),
    [
        (read_sdn, LongList(SDN, b"<sdnEntry>\n    <uid>102<", b"</sdnEntry>")),
        (
            read_sdn_advanced,
            LongList(ADVANCED, b'<DistinctParty FixedRef="102">', b"</DistinctParty>"),
        ),
    ],
)
def test_a_long_file_does_not_fill_the_memory(
    read: Callable[[LongList], ListImport], long_list: LongList
) -> None:
    gc.collect()
    imported = read(long_list)

    assert imported.entry_count > 3000
    assert 0 < long_list.alive < 2000


class TestNewVersions:
    """The second import of a list is compared with the first."""

    @staticmethod
    def content(addresses: range, entries: int, day: int = 20) -> ListContent:
        pairs = frozenset(("evm", f"0x{number:040x}") for number in addresses)
        return ListContent(entries, pairs, date(2026, 6, day))

    def test_the_first_one_adds_everything(self) -> None:
        diff = compare_imports(None, self.content(range(3), 3))

        assert (len(diff.added), diff.removed) == (3, ())

    def test_shows_what_came_and_went(self) -> None:
        diff = compare_imports(self.content(range(100), 100), self.content(range(1, 101), 100, 21))

        assert diff.added == (("evm", f"0x{100:040x}"),)
        assert diff.removed == (("evm", f"0x{0:040x}"),)

    def test_f14_refuses_to_lose_30_percent_of_the_entries(self) -> None:
        with pytest.raises(Conflict, match="loses 30 of 100 entries, more than 20 %"):
            compare_imports(self.content(range(100), 100), self.content(range(100), 70))

    def test_refuses_to_lose_21_percent_of_the_addresses(self) -> None:
        with pytest.raises(Conflict, match="loses 21 of 100 addresses"):
            compare_imports(self.content(range(100), 100), self.content(range(79), 100))

    def test_a_fifth_exactly_may_go(self) -> None:
        diff = compare_imports(self.content(range(100), 100), self.content(range(80), 80))

        assert len(diff.removed) == 20

    def test_new_addresses_do_not_hide_that_old_ones_went(self) -> None:
        with pytest.raises(Conflict, match="loses 100 of 100 addresses"):
            compare_imports(self.content(range(100), 100), self.content(range(100, 200), 100))

    def test_refuses_an_older_file(self) -> None:
        with pytest.raises(Conflict, match="older than the 2026-06-20"):
            compare_imports(self.content(range(3), 3), self.content(range(3), 3, day=19))

    def test_the_operator_may_insist(self) -> None:
        diff = compare_imports(
            self.content(range(10), 10), self.content(range(0), 0), override=True
        )

        assert len(diff.removed) == 10
