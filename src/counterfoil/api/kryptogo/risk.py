"""What a screening found, as a payment intent tells it."""

from typing import Any, Final

from counterfoil.core.invoice import Invoice
from counterfoil.core.risk import without_names
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk.queries import InvoiceView

Json = dict[str, Any]

RISK_FIELDS: Final = (
    "kya_risk",
    "large_transaction_risk",
    "kya_risk_address",
    "kya_risk_counter_party",
    "transaction_frequency_risk",
    "total_weighted_risk_score",
    "quick_in_out_risk",
    "dormant_account_risk",
    "volume_spike_risk",
    "structuring_risk",
    "kya_accumulation_risk",
    "business_pattern_risk",
)


def risk_of(view: InvoiceView, by: Actor) -> Json:
    """The newest screening; who a listed address belongs to is for compliance alone."""
    run = view.screening
    if run is None:
        return {**dict.fromkeys(RISK_FIELDS), "kya_record": {}}
    record = run.record if Permission.REVIEW in by.permissions else without_names(run.record)
    return {**{name: run.scores.get(name) for name in RISK_FIELDS}, "kya_record": record}


def dispositions_of(invoice: Invoice) -> list[Json]:
    """The hits on its money that officers say mean somebody else, and who does."""
    return [
        {"list": one.list_code, "entry_uid": one.entry_uid, "by": one.people}
        for one in invoice.disposals
    ]
