"""Names that are drawn like other names."""

import pytest

from counterfoil.core.lookalike import looks_like, mixes_scripts, skeleton


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u0410cme Buyer", "Acme Buyer"),
        ("\u0410\u0421\u041c\u0415", "acme"),
        ("\u039dova", "NOVA"),
        ("\uff21\uff23\uff2d\uff25", "Acme"),
        ("Acme  Buyer\u0455", "Acme Buyers"),
    ],
)
def test_other_letters_that_look_the_same_are_noticed(one: str, other: str) -> None:
    assert looks_like(one, other)
    assert looks_like(other, one)
    assert skeleton(one) == skeleton(other)


def test_the_same_name_and_another_name_are_neither() -> None:
    for other in ("acme buyer", "ACME  Buyer", "Acme Buyers", "Acne Buyer", ""):
        assert not looks_like("Acme Buyer", other)


def test_one_word_in_two_scripts_is_marked_and_two_words_are_not() -> None:
    for name in ("\u0410cme", "B\u00fcr\u043e", "Nov\u03b1 Ltd"):
        assert mixes_scripts(name)
    for name in (
        "Acme Buyer",
        "\u042f\u043d\u0434\u0435\u043a\u0441 Google",
        "\u738b\u5c0f\u660e GmbH",
        "\u53f0\u7a4dTSMC",
        "\u30a2\u30af\u30e1ltd",
        "R2D2",
        "",
    ):
        assert not mixes_scripts(name)
