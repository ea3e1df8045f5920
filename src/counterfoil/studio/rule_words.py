"""The rules in words: what each is called, what it means for the money, and how it is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from counterfoil.pages.language import N_

Kind = Literal["switch", "number", "choice", "text", "share", "bps", "chains"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One setting of `counterfoil.core.invoice.Policy`. ``choices`` maps value to name.

    People write per cent: a ``share`` of 0.995 as 99.5, and 50 ``bps`` as 0.5.

    ``empty``: may be left empty, which leaves the matter to people.
    """

    title: str
    sentence: str
    kind: Kind
    choices: Mapping[str, str] | None = None
    empty: bool = False


_YES_NO: Final = {"true": N_("yes"), "false": N_("no")}

RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    N_("Approval"): {
        "approval_required": Rule(
            N_("Invoices have to be approved"),
            N_("Nobody can pay an invoice before somebody has approved it."),
            "switch",
            _YES_NO,
        ),
        "maker_is_not_checker": Rule(
            N_("Two people"),
            N_("Nobody approves what they made, changed or asked for themselves."),
            "switch",
            _YES_NO,
        ),
    },
    N_("Tolerance"): {
        "underpay_ratio": Rule(
            N_("Least share of what is due that counts as paid"),
            N_(
                "100%% means every unit; 99.5%% forgives half a per cent, which you then do not"
                " get."
            ),
            "share",
        ),
        "overpay_ratio": Rule(
            N_("Most share of what is due that counts as exact"),
            N_("100%% means every unit; with 102%%, two per cent too much are no surplus."),
            "share",
        ),
        "overpaid": Rule(
            N_("When too much came"),
            N_("Who pays too much gets the rest back when you sign, or waits for your decision."),
            "choice",
            {
                "refund_at_sign_off": N_("send the rest back at sign-off"),
                "resolve": N_("let a person decide"),
            },
        ),
        "several_payers": Rule(
            N_("When several addresses paid"),
            N_("Money from several senders may be a customer's two wallets, or somebody else's."),
            "choice",
            {"accept": N_("accept it"), "resolve": N_("let a person decide")},
        ),
        "dust_below": Rule(
            N_("Transfers below this many whole coins count for nothing"),
            N_("So that nobody can disturb a payment with a fraction of a cent."),
            "number",
        ),
    },
    N_("Time"): {
        "receipt_window_seconds": Rule(
            N_("Seconds in which an invoice that is due on receipt can be paid"),
            N_(
                "Its amount in tokens is fixed for that long: the longer, the more a customer can"
                " wait for a rate that is better for them. Afterwards a payment is late, and the"
                " rules below say what happens."
            ),
            "number",
        ),
        "grace_days": Rule(
            N_("Days of grace"),
            N_("So long after the deadline a payment still wakes the invoice up, as a late one."),
            "number",
        ),
    },
    N_("Rates, for what is priced in fiat"): {
        "rate_spread_bps": Rule(
            N_("Spread that is taken off the rate"),
            N_(
                "With 0.5%%, a customer sends half a per cent more tokens than at the rate of the"
                " market; it is what you have against the rate's moving while it is held. It does"
                " not touch what is priced in tokens, or where a stablecoin counts as a dollar."
            ),
            "bps",
        ),
        "rate_max_age_seconds": Rule(
            N_("Seconds after which a rate prices nothing any more"),
            N_(
                "Invoices can then not be made until there is a newer one. Empty: as long as this"
                " installation allows, which is the most in any case."
            ),
            "number",
            empty=True,
        ),
        "rate_sources": Rule(
            N_("Sources that count, separated by commas"),
            N_("Their names stand on the page of rates. Empty: all, the preferred one first."),
            "text",
            empty=True,
        ),
        "rate_sources_agree": Rule(
            N_("So many sources have to agree"),
            N_(
                "With 2 or more, nothing is priced while they do not, and then at the lowest of"
                " those that do: one source that errs or lies costs you nothing."
            ),
            "number",
        ),
        "rate_agree_within_bps": Rule(
            N_("Sources agree when they differ by at most"),
            N_("Rates further apart than this do not agree."),
            "bps",
        ),
    },
    N_("Finality"): {
        "confirm_soft_below_usd": Rule(
            N_("Payments worth less than this many dollars are confirmed sooner"),
            N_(
                "They count as confirmed when they are almost final (the chain calls that safe),"
                " all others when final. Money only ever leaves when it is final. 0: none is"
                " confirmed sooner."
            ),
            "number",
        ),
        "confirm_soft_chains": Rule(
            N_("Chains on which that holds"),
            N_("None chosen: on all of them."),
            "chains",
            empty=True,
        ),
    },
    N_("What rules decide instead of people"): {
        "auto_accept_underpaid_from": Rule(
            N_("Accept too little from this share on"),
            N_("98%% accepts payments that lack up to two per cent. Empty: people decide."),
            "share",
            empty=True,
        ),
        "auto_accept_overpaid_to": Rule(
            N_("Accept too much up to this share"),
            N_("The surplus is kept for the customer to be refunded. Empty: people decide."),
            "share",
            empty=True,
        ),
        "auto_accept_late_minutes": Rule(
            N_("Accept payments that are late by up to this many minutes"),
            N_("At the price that was asked, whatever the rate did. Empty: people decide."),
            "number",
            empty=True,
        ),
        "auto_recalculate_late_minutes": Rule(
            N_("Price payments anew that are late by up to this many minutes"),
            N_("At the rate of the moment they came. Empty: people decide."),
            "number",
            empty=True,
        ),
        "auto_recalculate_late_from": Rule(
            N_("Share of the new price that a late payment must reach"),
            N_("100%% means all of it; what reaches less waits for a person."),
            "share",
        ),
        "auto_accept_several_payers": Rule(
            N_("Accept payments from several addresses without a person"),
            N_("Each sender is screened either way."),
            "switch",
            _YES_NO,
        ),
        "auto_refund_surplus_below_usd": Rule(
            N_("Send too much back to its one sender below this many dollars"),
            N_(
                "Whoever signs names no address then: what is too much goes back to where all of it"
                " came from. Only for customers who pay from wallets of their own: an exchange may"
                " not tell whose money comes back. Empty: people say where it goes."
            ),
            "number",
            empty=True,
        ),
    },
}
"""Group to its settings, in the order in which they are shown."""

CLAUSES: Final = (
    N_("only yes or no"),
    N_("only a whole number"),
    N_("only a plain number, such as 0.99"),
    N_("only a number, or nothing for no such rule"),
    N_("only one of the words that are offered"),
)
"""What `counterfoil.desk.settings` says a rule can be, for translators."""

DEPOSITS: Final[Mapping[str, str]] = {
    "factory": N_("a contract for each invoice, emptied by the operator"),
    "hd": N_("a key for each invoice, fuelled before it is emptied"),
}
"""How an invoice of a chain is paid."""
