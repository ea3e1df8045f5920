"""A bank account as customers read it, on the payment page and on paper."""

from typing import Any, Final

from counterfoil.core import bank
from counterfoil.pages.language import N_

Lines = tuple[tuple[str, str], ...]
"""Names, to be translated, with their values."""

_NAMES: Final = (
    ("holder", N_("Account holder")),
    ("bank_name", N_("Bank")),
    ("branch", N_("Branch")),
    ("bank_code", N_("Bank code")),
    ("bic", N_("BIC (SWIFT)")),
    ("account_number", N_("Account number")),
    ("currency", N_("Currency")),
)


def lines(
    account: Any,  # noqa: ANN401 - the desk's type, which pages leave alone
    number: str,
) -> Lines:
    """Where an invoice of this number is paid, and with which reference.

    The reference alone where there is no account, or none that anybody should pay into now.
    """
    said = "" if account is None else account.reference
    reference = (N_("Reference"), f"{said} {number}".strip())
    return (*_account(account), reference)


def _account(account: Any) -> Lines:  # noqa: ANN401 - as above
    if account is None or not account.is_told:
        return ()
    if not account.account_number:
        # From before details were kept.
        return ((N_("Bank account"), f"{account.label} ({account.currency})"),)
    return details(account)


def details(account: Any) -> Lines:  # noqa: ANN401 - as above
    """All that is known of an account, its whole number too."""
    return tuple(
        (name, bank.grouped(value) if field == "account_number" else value)
        for field, name in _NAMES
        if (value := getattr(account, field))
    )
