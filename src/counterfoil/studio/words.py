"""What things are called on pages: statuses, events, roles. Translated where they are shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from counterfoil.core.homeward import Origin
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.resolution import Choice, is_priced_by_rate, lacks_time
from counterfoil.core.roles import Permission
from counterfoil.desk.refunding import RefundProgress
from counterfoil.pages.language import N_
from counterfoil.studio.standing_words import DECLINED, STANDING, WAITS, stands_because

__all__ = ["DECLINED", "STANDING", "WAITS", "stands_because"]

STATUSES: Final[Mapping[Status, tuple[str, str]]] = {
    Status.APPROVAL_PENDING: (N_("To be approved"), "yellow"),
    Status.APPROVAL_REJECTED: (N_("Rejected"), "red"),
    Status.AWAITING_PAYMENT: (N_("Waiting for payment"), "blue"),
    Status.PAYMENT_DETECTED: (N_("Payment seen"), "cyan"),
    Status.SCREENING: (N_("Being screened"), "cyan"),
    Status.COMPLIANCE_HOLD: (N_("On hold"), "orange"),
    Status.COMPLIANCE_DECLINED: (N_("Declined by compliance"), "red"),
    Status.RESOLUTION_REQUIRED: (N_("Needs a decision"), "orange"),
    Status.SIGN_PENDING: (N_("To be signed"), "purple"),
    Status.SWEEPING: (N_("Collecting"), "indigo"),
    Status.PAYOUT_PROCESSING: (N_("Paying out"), "indigo"),
    Status.COMPLETED: (N_("Completed"), "green"),
    Status.REFUND_PENDING: (N_("Refund to be approved"), "yellow"),
    Status.REFUND_PROCESSING: (N_("Refund approved"), "indigo"),
    Status.REFUNDED: (N_("Refunded"), "secondary"),
    Status.EXPIRED: (N_("Expired"), "secondary"),
    Status.CANCELLED: (N_("Cancelled"), "secondary"),
}
"""Status to its name and colour."""

CONTEXTS: Final[Mapping[Context, str]] = {
    Context.EXACT: N_("paid exactly"),
    Context.UNDERPAID: N_("paid too little"),
    Context.OVERPAID: N_("paid too much"),
    Context.PAID_LATE: N_("paid late"),
    Context.MULTIPLE_PAYERS: N_("several payers"),
    Context.WRONG_ASSET: N_("wrong token"),
    Context.HIGH_RISK: N_("high risk"),
    Context.SANCTIONED: N_("sanctioned address"),
}

DEPTHS: Final[Mapping[str, str]] = {
    "ORPHANED": N_("no longer on the chain"),
    "SEEN": N_("seen"),
    "SAFE": N_("almost final"),
    "FINAL": N_("final"),
}
"""How settled a transfer is on its chain, by the name of its depth."""

REFUNDS: Final[Mapping[RefundProgress, str]] = {
    RefundProgress.PENDING: N_("to be approved"),
    RefundProgress.APPROVED: N_("approved, not sent yet"),
    RefundProgress.PROCESSING: N_("on its way"),
    RefundProgress.SETTLED: N_("sent back"),
    RefundProgress.PARTLY_SETTLED: N_("partly sent back"),
    RefundProgress.WITHDRAWN: N_("withdrawn"),
}

DONE: Final[Mapping[str, str]] = {
    "approve": N_("The invoice is approved; it can be paid now."),
    "reject": N_("The invoice is rejected."),
    "cancel": N_("The invoice is cancelled."),
    "archive": N_("The invoice is archived."),
    "release": N_("Your word is noted. The money goes on when a second person says the same."),
    "decline": N_("Your word is noted. The money is declined when a second person says the same."),
    "released": N_("The money is released. The payment goes on."),
    "declined": N_("Two people have declined the money. It can only be sent back, when ordered."),
    "escalate": N_("The money is held now. Who said before that it may go on has to say so again."),
    "dispose_hit": N_("Your word is noted. The hit counts no more when a second person agrees."),
    "disposed": N_("Two people agree: the money is screened again without this hit."),
    "report": N_("The report is kept, for compliance only."),
    "quarantine": N_("The money goes to the quarantine wallet; this page says how far it is."),
    "take_note": N_("The note is kept, for compliance only."),
    "token_withdrawn": N_("Your word is taken back. Money in this token waits for another look."),
    "token_accepted": N_("Your word is noted. What waited goes on within a minute."),
    "accept": N_("The payment is accepted as it is, to be paid out once somebody signs for it."),
    "recalculate": N_("The invoice is priced at the current rate."),
    "more_time": N_("The customer has more time; their page asks for the rest again."),
    "sign_off": N_(
        "Signed. Collecting and paying out go on by themselves; this page says how far they are."
    ),
    "sign_off_waits": N_(
        "Signed. The surplus goes elsewhere than it came from, so nothing moves before a second"
        " person has approved that."
    ),
    "order_refund": N_("The refund is ordered; a second person has to approve it."),
    "approve_refund": N_("The refund is approved; this page says how far it is."),
    "withdraw_refund": N_("The refund is withdrawn."),
    "redeliver": N_("The callback is sent again."),
    "approve_payments": N_("Approved again; this page says how far the payment is."),
    "accept_fees": N_("Accepted. What was not paid yet goes out with what is here."),
    "withdraw_payments": N_("Given up. The money can go back to another address."),
    "redirect": N_("The payout goes elsewhere: at once, or when a second person approves it."),
    "approve_redirect": N_(
        "Approved. The payout goes to the other address; this page says how far it is."
    ),
    "withdraw_redirect": N_("The order is withdrawn; the payment still stands."),
    "create": N_("The invoice is created and waits for approval."),
    "edit": N_("The invoice is changed. Whoever approves it approves what it says now."),
    "saved": N_("Saved."),
    "member_roles": N_("The roles are changed. They hold from the next click, unless they wait."),
    "role_agreed": N_("Agreed. The role holds from the next click."),
    "role_called_off": N_("The role is called off; it will not come to hold."),
    "member_disabled": N_("The member is disabled. Sessions and keys have ended."),
    "member_enabled": N_("The member may come in again. Their old keys stay revoked."),
    "factor_reset": N_(
        "Second factor and passkeys are gone, and the person is signed out everywhere."
    ),
    "joined": N_("You are a member there now; choose the organisation in the menu."),
    "declined_invitation": N_("The invitation is declined, and its link is good no longer."),
    "client_added": N_("A new client id is made. Programs send it as X-Client-ID."),
    "key_revoked": N_("The key is revoked; nothing can be done with it any more."),
    "rules": N_("The rules are changed; new invoices live by them."),
    "bank_added": N_("The account is added. The list says what it waits for."),
    "bank_approved": N_("The account is approved; it is good after the time of waiting."),
    "bank_disabled": N_("The account is disabled; nobody is told to pay into it any more."),
    "payout_added": N_("The address is added. The list says what it waits for."),
    "payout_approved": N_("The address is approved; it is good after the time of waiting."),
    "payout_removed": N_("The address is removed; nothing new can be paid to it."),
    "rules_later": N_(
        "What is stricter holds now. What is looser holds once the time of waiting is over."
    ),
    "returns_later": N_(
        "The old addresses hold on: none of them is among the new ones. Payment pages lead to them"
        " until the time of waiting is over, and only then to the new ones."
    ),
    "recipient_added": N_("The recipient is added, and offered to whoever writes an invoice."),
    "recipient_deactivated": N_("The recipient is offered no more. Invoices stay as they are."),
    "returns": N_("Saved. Payment pages lead back to these addresses only."),
    "returns_any": N_("Saved. Payment pages lead back to whatever an invoice names."),
    "secret_rotated": N_("A new secret signs every callback from now on. Tell your receiver."),
    "callback_tested": N_("The test is on its way; what came back is shown below in a moment."),
    "invited": N_("The password is set. Sign in with it."),
    "passkey_added": N_("The passkey is added; sign in with it from now on."),
    "passkey_removed": N_(
        "The passkey is removed, and your other sessions have ended. Delete it where it was kept"
        " too."
    ),
    "password": N_("The password is changed, and your other sessions have ended."),
    "factor_dropped": N_("The second factor is gone, and your other sessions have ended."),
}
"""What was done, by the name in ``?done=``; any other name says nothing."""

ROLES: Final[Mapping[str, str]] = {
    "finance": N_("Finance"),
    "reviewer": N_("Reviewer"),
    "signer": N_("Signer"),
    "compliance": N_("Compliance officer"),
    "auditor": N_("Auditor"),
    "administrator": N_("Administrator"),
}

PERMISSIONS: Final[Mapping[Permission, str]] = {
    Permission.CREATE: N_("create invoices"),
    Permission.APPROVE: N_("approve invoices"),
    Permission.SIGN: N_("sign for money, and send it back"),
    Permission.READ: N_("see invoices"),
    Permission.REVIEW: N_("decide about held money"),
    Permission.ADMINISTER: N_("administer the organisation"),
    Permission.AUDIT: N_("see members and the organisation's history, and export the audit trail"),
}

METHODS: Final[Mapping[str, str]] = {
    "crypto": N_("in tokens, on chain"),
    "fiat": N_("to a bank account"),
}

COLUMNS: Final[Mapping[str, str]] = {
    "number": N_("Number"),
    "recipient": N_("Customer"),
    "email": N_("E-mail"),
    "status": N_("Status"),
    "amount": N_("Amount"),
    "tokens": N_("Paid in"),
    "method": N_("Settled"),
    "description": N_("Description"),
    "reviewer": N_("Asked to approve"),
    "created": N_("Created"),
    "due": N_("Due"),
}
"""Column of a list to its name."""

EXPORTED: Final[Mapping[str, str]] = {
    "number": N_("Number"),
    "id": N_("Id"),
    "status": N_("Status"),
    "context": N_("What is particular"),
    "issuer": N_("Issued by"),
    "customer": N_("Customer"),
    "customer_email": N_("Customer's e-mail"),
    "customer_organization": N_("Customer's organisation"),
    "description": N_("Description"),
    "net": N_("Net"),
    "tax": N_("Tax"),
    "amount": N_("Amount with tax"),
    "currency": N_("Currency of the amount"),
    "method": N_("Settled"),
    "token": N_("Token"),
    "chain": N_("Chain"),
    "due_in_token": N_("Tokens due"),
    "received": N_("Tokens received"),
    "paid_out": N_("Tokens paid out"),
    "sent_back": N_("Tokens sent back"),
    "other_tokens": N_("Other tokens received"),
    "issued": N_("Date of the invoice"),
    "created": N_("Created"),
    "payable_until": N_("Payable until"),
    "completed": N_("Completed"),
    "reviewer": N_("Asked to approve"),
    "group": N_("Group"),
    "archived": N_("Archived"),
}
"""Column of an exported table to its name, which must make sense without the page it is from."""

FIELDS: Final[Mapping[str, str]] = {
    "recipient_name": N_("Recipient"),
    "recipient_email": N_("Recipient's e-mail"),
    "organization_name": N_("Their organisation"),
    "organization_email": N_("Its e-mail"),
    "origin": N_("Your web address"),
    "invoice_issue_date": N_("Date of the invoice"),
    "items": N_("Lines"),
    "item_name": N_("Item"),
    "item_quantity": N_("Quantity"),
    "item_unit_price": N_("Unit price"),
    "item_tax": N_("Tax"),
    "price_in": N_("Priced in"),
    "pay_token": N_("Paid in"),
    "chain": N_("On chain"),
    "allow_any_token": N_("Any stablecoin"),
    "due": N_("Due"),
    "payment_terms": N_("Days until due"),
    "payment_deadline": N_("Deadline"),
    "payment_method_type": N_("Settled"),
    "bank_account_id": N_("Bank account"),
    "payout_address": N_("Payout address"),
    "wait_hours": N_("Hours of waiting"),
    "description": N_("Description"),
    "reviewer": N_("Whom you ask to approve"),
    "callback_url": N_("Callback address"),
    "default_url": N_("Default callback address"),
    "group_key": N_("Group"),
    "order_data": N_("Your own data"),
    "hours": N_("Time to pay"),
    "amount": N_("Amount"),
    "asset": N_("Token"),
    "address": N_("Address"),
    "attachment": N_("Attachment"),
    "attachments": N_("Attachments"),
    "file": N_("File"),
    "choice": N_("Decision"),
    "reason": N_("Reason"),
    "refund_address": N_("Address for the refund"),
    "refund_reason": N_("Reason of the refund"),
    "refund_amount": N_("Amount to refund"),
    "refund_token": N_("Token to refund"),
    "refund_attachments": N_("Papers of the refund"),
    "evidence": N_("Evidence"),
    "hit": N_("Hit"),
    "reference": N_("Reference"),
    "reported_on": N_("Day of the report"),
    "name": N_("Name"),
    "email": N_("E-mail"),
    "roles": N_("Roles"),
    "password": N_("Password"),
    "again": N_("The new password again"),
    "code": N_("Code"),
    "invoice": N_("Invoice"),
    "time_zone": N_("Time zone"),
}
"""Field of a form to its name, where something is said about it."""


CHOICES: Final[Mapping[Choice, str]] = {
    Choice.ACCEPT: N_("Accept it as it is"),
    Choice.RECALCULATE: N_("Price it anew at the current rate"),
    Choice.REFUND_SURPLUS: N_("Sign for what is due and send the rest back"),
    Choice.REFUND_ALL: N_("Send everything back"),
    Choice.WAIT: N_("Wait for the customer to pay the rest"),
}

ORIGINS: Final[Mapping[Origin, tuple[str, str]]] = {
    Origin.HOME: (N_("The money came from this address."), "green"),
    Origin.IN_PART: (
        N_("Money came from this address, but less than goes there now."),
        "orange",
    ),
    Origin.ELSEWHERE: (N_("No money is known to have come from this address."), "orange"),
}
"""What a refund's address has to do with the money, and the colour of that."""

MORE_TIME: Final = N_("Give more time to pay the rest")
ANEW_WITH_TIME: Final = N_("Price it anew at the current rate, with more time to pay the rest")


def choice_words(invoice: Invoice, choice: Choice, now: datetime) -> str:
    """What a choice about this payment is called at this time."""
    if choice is not Choice.RECALCULATE or not lacks_time(invoice, now):
        return CHOICES[choice]
    return ANEW_WITH_TIME if is_priced_by_rate(invoice) else MORE_TIME


CALLBACKS: Final[Mapping[str, str]] = {
    "pending": N_("on its way"),
    "delivered": N_("delivered"),
    "parked": N_("given up"),
}
"""How far a callback has come."""


def status_name(status: str) -> str:
    """What a status of the log is called."""
    return STATUSES[Status(status)][0]
