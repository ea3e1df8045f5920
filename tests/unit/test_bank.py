"""Bank accounts are read strictly: a wrong digit sends a customer's money to somebody else."""

from dataclasses import replace

import pytest

from counterfoil.core.bank import checked, grouped, masked
from counterfoil.core.errors import Invalid
from support.banks import BERLIN, FUBON

# Examples of the registry of ISO 13616.
IBANS = (
    "DE89 3704 0044 0532 0130 00",
    "GB29 NWBK 6016 1331 9268 19",
    "FR14 2004 1010 0505 0001 3M02 606",
    "NL91ABNA0417164300",
    "no93 8601 1117 947",
    "CH93-0076-2011-6238-5295-7",
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
)


def test_details_are_kept_without_blanks_and_in_capitals() -> None:
    assert checked(FUBON) == FUBON
    written = replace(
        BERLIN,
        account_number=" de89 3704 0044 0532 0130 00 ",
        bic="bevo-debb",
        bank_code=" 012-3456 ",
        holder="  Tea & Söhne ",
    )
    assert checked(written) == replace(BERLIN, bic="BEVODEBB", bank_code="012-3456")


@pytest.mark.parametrize("iban", IBANS)
def test_an_iban_is_one_by_its_length_and_check_digits(iban: str) -> None:
    number = checked(replace(BERLIN, account_number=iban)).account_number
    assert grouped(number).replace(" ", "") == number
    for place in range(2, len(number)):
        other = "7" if number[place] != "7" else "8"
        wrong = number[:place] + other + number[place + 1 :]
        with pytest.raises(Invalid, match="check digits do not fit"):
            checked(replace(BERLIN, account_number=wrong))
    for wrong in (number[:-1], number + "0"):
        with pytest.raises(Invalid, match="characters as an IBAN of"):
            checked(replace(BERLIN, account_number=wrong))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("account_number", "", "must be an account number or IBAN"),
        ("account_number", "123", "must be an account number or IBAN"),
        ("account_number", "12 34 <b>", "must be an account number or IBAN"),
        ("account_number", "\uff11\uff12\uff13\uff14\uff15", "must be an account number or IBAN"),
        ("account_number", "12--34", "must be an account number or IBAN"),
        ("account_number", "9" * 35, "must be an account number or IBAN"),
        ("account_number", "XX89370400440532013000", "no country with IBANs"),
        ("bic", "TPBKTWT", "must be a BIC"),
        ("bic", "12BKTWTP", "must be a BIC"),
        ("bank_code", "0", "must be a bank's code"),
        ("bank_code", "012-", "must be a bank's code"),
        ("bank_code", "\uff10\uff11\uff12", "must be a bank's code"),
        ("holder", " ", "must not be empty"),
        ("bank_name", "", "must not be empty"),
        ("branch", "a\u202eb", "U+202E"),
        ("reference", "x" * 61, "at most 60"),
    ],
)
def test_what_is_wrong_is_refused_at_its_field(field: str, value: str, told: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked(replace(FUBON, **{field: value}))
    assert told in refused.value.fields[field]


def test_without_an_iban_the_bank_has_to_be_named_by_code_or_bic() -> None:
    for named in ({"bic": ""}, {"bank_code": ""}):
        checked(replace(FUBON, **named))
    with pytest.raises(Invalid, match="neither a BIC nor an IBAN"):
        checked(replace(FUBON, bic="", bank_code=""))
    assert checked(BERLIN) == BERLIN


def test_lists_show_the_end_of_a_number_alone() -> None:
    assert masked("00710987654321") == "•••• 4321"
    assert masked("12345678") == "•••• 78"
