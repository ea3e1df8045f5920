"""Text from outside: what people of all scripts may write, and what may not hide in it."""

import pytest

from counterfoil.core.errors import Invalid
from counterfoil.core.text import clean_email, clean_text, clean_url, tame


@pytest.mark.parametrize(
    "text",
    [
        "Acme Buyer",
        "O'Brien & Søn, S.A.",
        "台灣股份有限公司",
        "株式会社カウンターフォイル",
        "شركة",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "क्\u200dष",
        "Nguyễn Văn Ấn",
        "👩\u200d💻 Studio",
    ],
)
def test_every_script_may_be_written(text: str) -> None:
    assert clean_text(text, "name", max_length=100) == text


def test_composed_and_decomposed_are_one_text() -> None:
    assert clean_text("e\u0301", "name", max_length=10) == "\u00e9"


def test_line_breaks_only_where_lines_are_meant() -> None:
    assert clean_text("a\nb\tc", "note", max_length=10, lines=True) == "a\nb\tc"
    with pytest.raises(Invalid):
        clean_text("a\nb", "name", max_length=10)


@pytest.mark.parametrize("text", ["a\u202eb", "\u200dab", "a\u200cb", "a\ud800", "a\U000e0061"])
def test_hidden_characters_are_named(text: str) -> None:
    with pytest.raises(Invalid, match=r"U\+") as refused:
        clean_text(text, "name", max_length=100)
    assert list(refused.value.fields) == ["name"]


def test_length_is_counted_after_composing_and_absurd_text_before() -> None:
    assert clean_text("e\u0301" * 5, "name", max_length=5) == "\u00e9" * 5
    with pytest.raises(Invalid):
        clean_text("x" * 6, "name", max_length=5)
    with pytest.raises(Invalid):
        clean_text("e\u0301" * 50_000, "name", max_length=5)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("buyer@example.com", "buyer@example.com"),
        ("First.Last+tag@EXAMPLE.Co.UK", "First.Last+tag@example.co.uk"),
        ("a@xn--fiqs8s.example", "a@xn--fiqs8s.example"),
    ],
)
def test_addresses_keep_their_local_part(text: str, kept: str) -> None:
    assert clean_email(text, "email") == kept


@pytest.mark.parametrize(
    "text",
    [
        "https://merchant.example",
        "http://localhost:3000/shop?x=1#top",
        "https://192.0.2.7/a",
        "https://[2001:db8::1]:8443/a",
    ],
)
def test_origins_of_all_kinds_are_kept(text: str) -> None:
    assert clean_url(text, "origin") == text


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("reverted: paused", "reverted: paused"),
        ("no\x00\x1b[31m\u202e", "no\ufffd\ufffd[31m\ufffd"),
        ("one\r\n\ttwo", "one two"),
        ("拒絕付款", "拒絕付款"),
        ("x" * 21, "x" * 17 + "..."),
        ("x" * 20 + " " * 1_000_000, "x" * 17 + "..."),
    ],
)
def test_what_machines_say_is_kept_without_what_hides_commands_or_never_ends(
    said: str, kept: str
) -> None:
    assert tame(said, max_length=20) == kept
