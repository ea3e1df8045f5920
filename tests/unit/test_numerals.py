"""What somebody typed as a number: read where it can mean one thing only, else left as it is."""

import pytest

from counterfoil.core import numerals
from counterfoil.core.errors import Invalid
from support.keyboards import wide


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("1333", "1333"),
        (" 1333.50 ", "1333.50"),
        ("1,333", "1333"),
        ("1,333.50", "1333.50"),
        ("12,345,678.000001", "12345678.000001"),
        ("999,999,999,999,999,999", "999999999999999999"),
        # A Chinese keyboard, in its wide digits and with its own marks.
        (wide("1,333.50"), "1333.50"),
        ("\u30001\uff0c333\u300250\u3000", "1333.50"),
        ("1333\uff6150", "1333.50"),
        (wide("0"), "0"),
    ],
)
def test_a_number_that_can_mean_one_thing_only_is_read(typed: str, read: str) -> None:
    assert str(numerals.read(typed, "amount")) == read


@pytest.mark.parametrize(
    "typed",
    [
        *("1,33", "1,3333", "1333,000", "1,333,00", "1,,333", ",333", "1,333,", "1,33,333"),
        # Whoever writes these means a point.
        *("0,333", "00,333", "012,345", "0,123,456"),
        *("1.333,50", "1.333.500", "1.5,000", "1,333.", "1,333.50.1", "1 333", "1'333", "1_333"),
        # No other marks, and no digits that only look like some: of Arabic, raised, or in a ring.
        *("\u0661\u0662", "1\u00b2", "\u2460", "1\u3001333", "1\u066c333", "1\u20245"),
        *("-1", wide("-1"), "+1", "1e3", "1,333e3", "$1,333", "1,333 USDC", "NaN", "", "1" * 19),
    ],
)
def test_any_other_number_is_refused_in_words_for_whoever_typed_it(typed: str) -> None:
    with pytest.raises(Invalid) as refused:
        numerals.read(typed, "amount")
    (told,) = refused.value.fields.values()
    assert told.startswith("must be a number such as 1333.50 or 1,333.50")
    assert "string" not in told


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("1,333 %", "1333 %"),
        (wide("5%"), "5%"),
        ("1,33%", "1,33%"),
        ("arb, base", "arb, base"),
        ("five", "five"),
        ("", ""),
    ],
)
def test_a_per_cent_keeps_its_sign_and_words_stay_words(typed: str, found: str) -> None:
    assert numerals.plain(typed) == found
