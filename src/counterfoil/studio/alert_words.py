"""What the home page says of things that need somebody."""

from collections.abc import Mapping
from typing import Final

from counterfoil.pages.language import N_

ALERTS: Final[Mapping[str, str]] = {
    "halted": N_(
        "%(subject)s stands still until somebody looks: %(detail)s. Payments there are not seen."
    ),
    "unwatched": N_(
        "Nobody watches %(subject)s just now. Payments there are found once a worker runs again."
    ),
    "lagging": N_(
        "%(subject)s is seen with a delay of %(detail)s seconds. Payments appear later, none is"
        " lost."
    ),
    "disputed": N_(
        "A payment on %(subject)s is not credited yet: %(detail)s. It counts once the nodes"
        " show it."
    ),
    "unexplained": N_(
        "There is more money at %(detail)s on %(subject)s than any transfer explains. It is not"
        " moved before somebody looks."
    ),
    "token_changed": N_(
        "%(detail)s on %(subject)s was changed by its issuer. What comes in is credited; what goes"
        " out waits until somebody who may sign has looked at it."
    ),
    "gas_low": N_(
        "The gas station %(detail)s on %(subject)s is running dry. Send it some coin, or payouts"
        " wait."
    ),
    "stuck": N_(
        "Invoices of which a payment stands still: %(subject)s. Signers find them under Payments"
        " that stand still, with where the money is and what can be done."
    ),
    "came_after": N_(
        "Invoices with money that came after they had ended, or was left over: %(subject)s. It is"
        " not paid out; a signer can order that it goes back."
    ),
    "payout_rules": N_(
        "The rules about payout addresses become looser at %(subject)s. An administrator who does"
        " not want that takes it back, in the settings."
    ),
    "rules": N_(
        "The rules of new invoices become looser at %(subject)s. An administrator who does not want"
        " that takes it back, in the settings."
    ),
    "returns": N_(
        "Payment pages may lead customers back to other addresses from %(subject)s on. An"
        " administrator who does not want that saves the addresses as they are, in the settings."
    ),
    "roles": N_(
        "Roles that decide about money are given to %(subject)s; they hold from %(detail)s on. An"
        " administrator who does not want that calls it off, under Members."
    ),
    "callbacks": N_(
        "Callbacks of the last seven days that were given up: %(subject)s. See the invoices and"
        " send them again."
    ),
}
"""What needs somebody: what it is, what it means for the money, what to do."""
