"""Words about payments that stand still: why they do, and what may be done about them."""

from collections.abc import Mapping
from typing import Final

from counterfoil.pages.language import N_

STANDING: Final[Mapping[str, tuple[str, str, str]]] = {
    "approve_redirect": (
        N_("Approve the other address"),
        N_(
            "The payment to the first address is given up, and the money leaves for this one. This"
            " cannot be undone."
        ),
        "btn-primary",
    ),
    "accept_fees": (
        N_("Accept what its token left of it"),
        N_(
            "It pays what is left, and what did not leave yet, to the same address and never twice."
            " What was kept is lost."
        ),
        "btn-primary",
    ),
    "redirect": (
        N_("Pay it out to another address"),
        N_(
            "The payment to the first address is given up for good. Where your organisation asks"
            " for two people, a second signer has to approve it within seven days."
        ),
        "btn-primary",
    ),
    "approve_payments": (
        N_("Approve it again"),
        N_(
            "It is tried once more, to the same address. Look at the chain first: it must not have"
            " been paid."
        ),
        "btn-outline-primary",
    ),
    "withdraw_payments": (
        N_("Give it up"),
        N_(
            "Nothing is sent, and this refund ends with what went out of it. To send the money to"
            " another address, order another refund."
        ),
        "btn-outline-danger",
    ),
    "withdraw_redirect": (
        N_("Withdraw the order"),
        N_("Nothing is sent; the payment stands still as before."),
        "btn-outline-danger",
    ),
}
"""What may be done about a payment that stands still: the button, what follows, and its look."""

DECLINED: Final[Mapping[str, str]] = {
    "accept_fees": N_(
        "What has left stays where it is, and nothing is sent after it. What did not leave can be"
        " sent back then."
    ),
    "withdraw_payments": N_("Nothing is sent by it. The money can be sent back then."),
}
"""What follows instead where the money was declined."""

WAITS: Final[Mapping[str, str]] = {
    "time": N_("The money waits where it is, and is tried again by itself:"),
    "token": N_(
        "Its token was changed by its issuer. The money stays where it is until a member who may"
        " sign has looked at that."
    ),
    "operator": N_(
        "The money stands still where it is until whoever runs this installation looks at it:"
    ),
}
"""What an invoice's page says of money that does not go on just now, by what it takes."""

_STANDS: Final = (
    # What follows it is what a contract said, who may say any of the others.
    (
        "the chain would refuse it",
        N_("The token refuses this payment; mostly its issuer has frozen the address."),
    ),
    ("its token kept", N_("Its token kept a part, so less is here or has arrived.")),
    ("is on the sanctions list", N_("The address is on a sanctions list by now.")),
    ("is no registered payout address", N_("The address is not registered, or not any more.")),
    ("but nobody has approved it yet", N_("The address is registered, but not approved yet.")),
    (
        "its token moved nothing",
        N_("It was sent, and its token moved nothing. Only the fee is spent."),
    ),
    ("reverted on chain", N_("It was sent, and the chain undid it. Only the fee is spent.")),
    ("was consumed by", N_("Something else took its place on the chain, so it was not made.")),
    ("approve it again", N_("It was approved too long ago to be paid now.")),
    ("at once", N_("It is larger than what may be paid at once.")),
    ("were to be paid", N_("Less has arrived than was sent: the token takes a part of it.")),
    ("were to be swept", N_("Less has arrived in your own wallet than was sent there.")),
    (
        "is proven mined",
        N_("It was paid earlier, and is not booked. It is looked at again by itself."),
    ),
    ("landed after all", N_("It was paid earlier. Tell whoever runs this installation at once.")),
    ("over budget", N_("More would leave than came in. Tell whoever runs this installation.")),
    (
        "approved this",
        N_("Nobody approved what the books say. Tell whoever runs this installation at once."),
    ),
)


def stands_because(reason: str) -> str:
    """Why a payment stands still, for people; by what the machinery wrote down."""
    found = (sentence for fragment, sentence in _STANDS if fragment in reason)
    return next(found, N_("The reason is below; whoever runs this installation knows more."))
