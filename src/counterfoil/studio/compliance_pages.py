"""What the page of an invoice shows to compliance, and to nobody else."""

from datetime import date
from typing import Any

from counterfoil.core.errors import Invalid
from counterfoil.core.roles import Permission
from counterfoil.core.rules import people_to_release
from counterfoil.desk import compliance, reporting
from counterfoil.desk.queries import InvoiceView
from counterfoil.pages.forms import Form
from counterfoil.studio.door import PageRequest, desk_of


async def shown(request: PageRequest, view: InvoiceView) -> dict[str, Any]:
    """Hits that may mean somebody else, reports to authorities, and how many people it takes."""
    by = request.user.actor
    if Permission.REVIEW not in by.permissions:
        return {"hits": (), "reports": None, "released_by_one": False}
    return {
        "hits": compliance.hits_of(view),
        "reports": await reporting.of_invoice(desk_of(request), view.invoice.invoice_id, by),
        "released_by_one": people_to_release(view.invoice) == 1,
    }


def day_of(form: Form, name: str) -> date:
    """A day as a form gives it; `Invalid` naming the field for anything else."""
    try:
        return date.fromisoformat(form.raw(name))
    except ValueError:
        raise Invalid.field(name, "must be a day such as 2026-12-31") from None
