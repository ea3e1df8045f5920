"""What can be done to an invoice, as buttons say it, and what follows from it."""

from collections.abc import Mapping
from typing import Final

from counterfoil.pages.language import N_

BUTTONS: Final[Mapping[str, tuple[str, str]]] = {
    "approve": (N_("Approve"), "btn-success"),
    "reject": (N_("Reject"), "btn-outline-danger"),
    "cancel": (N_("Cancel the invoice"), "btn-outline-danger"),
    "release": (N_("Release the money"), "btn-success"),
    "decline": (N_("Decline the money"), "btn-outline-danger"),
    "escalate": (N_("Hold the money"), "btn-outline-danger"),
    "dispose_hit": (N_("The hit means somebody else"), "btn-outline-primary"),
    "quarantine": (N_("Take the money to quarantine"), "btn-outline-warning"),
    "accept": (N_("Accept as it is"), "btn-outline-primary"),
    "recalculate": (N_("Price anew at the current rate"), "btn-outline-primary"),
    "sign_off": (N_("Sign for the money"), "btn-primary"),
    "approve_refund": (N_("Approve the refund"), "btn-primary"),
    "withdraw_refund": (N_("Withdraw the refund"), "btn-outline-danger"),
    "take_note": (N_("Take a note"), ""),
    "archive": (N_("Archive"), ""),
}
"""Command to its button's words and look, in the order in which they are shown."""

CONSEQUENCES: Final[Mapping[str, str]] = {
    "approve": N_("The customer can pay from then on. What you approve is exactly what you see."),
    "reject": N_("The invoice ends here. Nobody can pay it; whoever does is refunded."),
    "cancel": N_("Nobody can pay it any more. Money that still comes is kept for you to refund."),
    "release": N_("With a second person's word the payment goes on to be signed for."),
    "decline": N_(
        "With a second person's word the money is refused for good and waits for a refund."
    ),
    "escalate": N_(
        "So far it is only to be looked at. Held, it takes as many people to release it as held"
        " money does."
    ),
    "dispose_hit": N_(
        "With a second person's word the money is screened again without the hit, and so is what"
        " the same payer sends for this customer later, until the entry changes. Say how you know,"
        " and give the evidence."
    ),
    "quarantine": N_(
        "The money is taken from its address to the quarantine wallet, apart from all other."
    ),
    "accept": N_("What came counts as paid. Nothing moves before somebody signs for it."),
    "recalculate": N_("What came is judged against the price at the current rate."),
    "sign_off": N_("The money is collected into your pool and paid out. This cannot be undone."),
    "approve_refund": N_("The money leaves the pool for the address below. This cannot be undone."),
    "withdraw_refund": N_(
        "Nothing of this refund has left yet. Withdrawn now, none of it does, and the invoice goes"
        " on where it stood; once a payment of it is signed, it is too late for that."
    ),
    "take_note": N_("Only compliance officers see it."),
}
"""What follows from a command, said before the button."""

WITH_REASON: Final = frozenset(
    {
        "reject",
        "cancel",
        "release",
        "decline",
        "escalate",
        "dispose_hit",
        "quarantine",
        "accept",
        "recalculate",
        "take_note",
        "withdraw_refund",
    }
)
"""Commands that are given with a reason."""

RELEASED_BY_ONE: Final = N_("Your word is enough, and the payment goes on to be signed for.")
"""What is said instead where it takes one person only."""

MORE_TIME_MEANS: Final = N_(
    "The amount due stays as it is, and the customer's page asks for the rest until the new"
    " deadline."
)
