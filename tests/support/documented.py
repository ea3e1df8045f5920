"""What is written about the life of an invoice, copied out by hand (specs/lifecycle.md D.2, D.3).

The program has tables of its own. Whatever is to catch a wrong line in those is held against these,
which no code of the program has a part in. A line is ``from : event : to``, each of them several
where blanks stand between; ``=`` is where it stands already.
"""

from itertools import product
from typing import Final

_MONEY: Final = "transfer_seen transfer_confirmed transfer_dropped"
_TAKEN_UP: Final = (
    "awaiting_payment expired payment_detected screening compliance_hold resolution_required"
    " sign_pending sweeping payout_processing completed compliance_declined approval_rejected"
    " cancelled"
)

_SPECIFIED: Final = """
approval_pending                   : approve            : awaiting_payment
approval_pending                   : reject             : approval_rejected
approval_pending awaiting_payment  : cancel             : cancelled
awaiting_payment                   : transfer_seen      : payment_detected
payment_detected                   : transfer_dropped   : awaiting_payment expired
payment_detected                   : transfer_confirmed : screening
screening                          : screened           : compliance_hold
screening                          : screened           : sign_pending resolution_required
compliance_hold                    : release            : sign_pending resolution_required
compliance_hold                    : decline            : compliance_declined
compliance_declined                : order_refund       : refund_pending
resolution_required                : transfer_seen      : payment_detected
resolution_required                : accept recalculate : sign_pending
resolution_required                : order_refund       : refund_pending
sign_pending                       : sign_off           : sweeping
sign_pending                       : order_refund       : refund_pending
sweeping                           : swept              : payout_processing completed
payout_processing                  : paid_out           : completed
refund_pending                     : approve_refund     : refund_processing
refund_processing                  : refund_settled     : refunded
awaiting_payment                   : deadline_passed    : expired
expired                            : transfer_seen      : payment_detected
expired                            : grace_over         : cancelled
completed                          : order_refund       : refund_pending
approval_rejected cancelled completed refunded : archive : =
"""
"""The table of D.2, line by line."""

_BESIDE: Final = {
    "made, and changed until it is approved": """
        approval_pending : edit : =
    """,
    "whoever knows the address can pay before the approval": """
        approval_pending : approve : payment_detected screening
    """,
    "a fact carries all totals, so each of the three may find as much or as little": f"""
        awaiting_payment : {_MONEY} : awaiting_payment payment_detected screening
        expired : {_MONEY} : expired payment_detected screening
        payment_detected screening resolution_required sign_pending : {_MONEY} :\
            awaiting_payment expired payment_detected screening
    """,
    "what is no other money changes nothing, nor does any where all is decided": f"""
        resolution_required sign_pending compliance_hold approval_pending approval_rejected\
            cancelled compliance_declined sweeping payout_processing completed refund_pending\
            refund_processing refunded : {_MONEY} : =
        awaiting_payment : deadline_passed : =
        expired : grace_over : =
    """,
    "held money that is gone is held no more": f"""
        compliance_hold : {_MONEY} : awaiting_payment expired
    """,
    "a policy may sign, and an earlier refund may have swept all of it along": f"""
        screening compliance_hold : screened : sweeping payout_processing completed
        compliance_hold : release : sweeping payout_processing completed
        sign_pending : {_MONEY} : sweeping payout_processing completed
        sign_pending : sign_off : payout_processing completed
    """,
    "answers that were missing come, and nothing else held the money": """
        compliance_hold : screened : sign_pending resolution_required
    """,
    "money that comes later is screened as well": """
        screening compliance_hold resolution_required sign_pending sweeping payout_processing\
            refund_pending refund_processing : screened : =
        resolution_required sign_pending sweeping payout_processing refund_pending :\
            screened : compliance_hold
        refund_pending refund_processing : stray_screened : =
    """,
    "one officer is not enough, and some acts of theirs decide nothing": """
        compliance_hold : release decline : =
        compliance_hold compliance_declined : quarantine take_note dispose_hit : =
        compliance_hold : escalate : =
    """,
    "what was declined stays so; once a hit was false, what is found says if it may go back": """
        compliance_declined : screened : =
    """,
    "a price may be too high again, and a surplus be kept": """
        resolution_required : recalculate : =
        sign_pending : accept : =
    """,
    "a surplus that goes elsewhere waits for a second person, and the sign-off with it": """
        sign_pending : sign_off : refund_pending
        refund_pending : approve_refund : sweeping payout_processing
    """,
    "money that came to what has ended can only go back": """
        approval_rejected cancelled completed refunded refund_pending : dispose_hit : =
        approval_rejected cancelled refunded : order_refund : refund_pending
    """,
    "a refund of a part leads back, and so does one that is called off": f"""
        refund_processing : swept : =
        refund_processing : refund_settled : {_TAKEN_UP}
        refund_pending refund_processing : withdraw_refund : {_TAKEN_UP} refunded
        payout_processing : withdraw_refund : =
    """,
}
"""What is decided beside it, each with its reason."""

_IMAGES: Final = """
approval_pending                     approval_pending      awaiting_approval
approval_rejected                    approval_rejected     cancelled
awaiting_payment                     pending_payment       pending
payment_detected                     transaction_detected  pending
screening                            aml_scanning          pending
compliance_hold                      compliance_freeze     aml_hold
compliance_declined                  compliance_freeze     manual_review
resolution_required                  sign_pending          manual_review
resolution_required/underpaid        payment_insufficient  insufficient_not_refunded
resolution_required/overpaid         sign_pending          success
resolution_required/wrong_asset      payment_insufficient  manual_review
sign_pending                         sign_pending          success
sweeping                             sweep_processing      success
payout_processing                    payout_processing     success
completed                            completed             success
refund_pending                       refund_pending        manual_review
refund_pending/underpaid             refund_pending        insufficient_not_refunded
refund_processing                    refund_processing     manual_review
refund_processing/underpaid          refund_processing     insufficient_not_refunded
refunded                             refunded              refunded
refunded/underpaid                   refunded              insufficient_refunded
expired                              expired               expired
cancelled                            cancelled             cancelled
"""
"""KryptoGO's columns of D.3: status with context, invoice status, payment intent's status."""


def _ways(table: str) -> frozenset[tuple[str, str, str]]:
    found = set()
    for line in filter(str.strip, table.replace("\\\n", " ").splitlines()):
        origins, events, ends = (part.split() for part in line.split(":"))
        for was, on, to in product(origins, events, ends):
            found.add((was, on, was if to == "=" else to))
    return frozenset(found)


SPECIFIED: Final = _ways(_SPECIFIED)
BESIDE: Final = {why: _ways(table) for why, table in _BESIDE.items()}
WAYS: Final = SPECIFIED.union(*BESIDE.values())
"""All ways from, by an event, to."""

_WORDS: Final = {
    name: (shown, intent) for name, shown, intent in map(str.split, _IMAGES.split("\n")[1:-1])
}


def words(status: str, context: str | None) -> tuple[str, str]:
    """What the wire calls an invoice and its payment intent that stand here."""
    return _WORDS.get(f"{status}/{context}") or _WORDS[status]
