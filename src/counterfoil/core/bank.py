"""Bank accounts as customers need them to pay: read strictly, as a wrong digit sends money away.

Numbers that carry check digits are checked by them: IBAN (ISO 13616, ISO 7064 MOD 97-10). Banks are
named by their BIC (ISO 9362) or by the code that their country gives them.
"""

import re
from dataclasses import dataclass
from typing import Final

from counterfoil.core.errors import Invalid
from counterfoil.core.text import clean_text

NAME_LENGTH: Final = 120
REFERENCE_LENGTH: Final = 60

_NUMBER: Final = re.compile(r"[0-9A-Z]{4,34}")
_GROUPED: Final = re.compile(r"[0-9A-Za-z]+([ -][0-9A-Za-z]+)*")
_LOOKS_LIKE_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[0-9A-Z]*")
_BIC: Final = re.compile(r"[A-Z]{4}[A-Z]{2}[0-9A-Z]{2}([0-9A-Z]{3})?")
_CODE: Final = re.compile(r"[0-9A-Z]{2,12}(-[0-9A-Z]{1,12})?")
_SHOWN: Final = 4
_MASK: Final = "\N{BULLET}" * 4

_IBAN_LENGTHS: Final = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FI FK FO GL NL SD",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}
"""Letters of a country to how long its IBANs are (the registry of ISO 13616)."""


@dataclass(frozen=True, slots=True)
class BankDetails:
    """What somebody writes down to transfer money. ``bank_code`` is the country's own.

    ``reference`` stands before the invoice's number in the reference that payers are asked for.
    """

    holder: str
    bank_name: str
    branch: str
    bank_code: str
    bic: str
    account_number: str
    reference: str


def checked(written: BankDetails) -> BankDetails:
    """The details as they are kept. Raises `Invalid` naming the field."""
    number = _number(written.account_number)
    is_iban = _LOOKS_LIKE_IBAN.fullmatch(number) is not None
    bic, code = _plain(written.bic), written.bank_code.strip().upper()
    if bic and not _BIC.fullmatch(bic):
        raise Invalid.field("bic", "must be a BIC of 8 or 11 letters and digits, as in TPBKTWTP")
    if code and not _CODE.fullmatch(code):
        raise Invalid.field("bank_code", "must be a bank's code, as in 012 or 012-3456")
    if not (bic or code or is_iban):
        raise Invalid.field("bank_code", "is required where there is neither a BIC nor an IBAN")
    return BankDetails(
        holder=clean_text(written.holder, "holder", max_length=NAME_LENGTH),
        bank_name=clean_text(written.bank_name, "bank_name", max_length=NAME_LENGTH),
        branch=clean_text(written.branch, "branch", max_length=NAME_LENGTH, empty=True),
        bank_code=code,
        bic=bic,
        account_number=number,
        reference=clean_text(
            written.reference, "reference", max_length=REFERENCE_LENGTH, empty=True
        ),
    )


def grouped(number: str) -> str:
    """A number as it is read out: an IBAN in fours, any other as it is kept."""
    if not _LOOKS_LIKE_IBAN.fullmatch(number):
        return number
    return " ".join(number[i : i + 4] for i in range(0, len(number), 4))


def masked(number: str) -> str:
    """What lists and logs show of a number: its end, by which whoever knows it knows it again."""
    return f"{_MASK} {number[-_SHOWN:]}" if len(number) > 2 * _SHOWN else f"{_MASK} {number[-2:]}"


def _plain(text: str) -> str:
    return re.sub(r"[ -]", "", text.strip()).upper()


def _number(text: str) -> str:
    given = text.strip()
    number = _plain(given)
    if not _GROUPED.fullmatch(given) or not _NUMBER.fullmatch(number):
        sentence = "must be an account number or IBAN of 4 to 34 digits and letters"
        raise Invalid.field("account_number", sentence)
    if _LOOKS_LIKE_IBAN.fullmatch(number):
        _check_iban(number)
    return number


def _check_iban(number: str) -> None:
    length = _IBAN_LENGTHS.get(number[:2])
    if length is None:
        sentence = f"begins with {number[:2]}, which is no country with IBANs"
        raise Invalid.field("account_number", sentence)
    if len(number) != length:
        sentence = f"must have {length} characters as an IBAN of {number[:2]}; it has {len(number)}"
        raise Invalid.field("account_number", sentence)
    as_digits = "".join(str(int(letter, 36)) for letter in number[4:] + number[:4])
    if int(as_digits) % 97 != 1:
        sentence = "is no IBAN: its check digits do not fit, so one character is wrong"
        raise Invalid.field("account_number", sentence)
