"""What an invoice is found by: columns that change with its document only."""

from counterfoil.core import search
from counterfoil.core.invoice import Invoice, number_label
from counterfoil.db.rows import array_text


def columns(invoice: Invoice) -> dict[str, object]:
    """The text that lists look into with its grams, and what else they choose by."""
    text = _text(invoice)
    return {
        "recipient_email": invoice.document.recipient_email,
        "group_key": invoice.document.group_key,
        "search_text": text,
        "grams": array_text(search.grams(text, number_label(invoice))),
    }


def _text(invoice: Invoice) -> str:
    document = invoice.document
    return "\n".join(
        (
            number_label(invoice),
            document.recipient_name,
            document.recipient_email,
            document.organization_name,
            document.organization_email,
            document.description,
            document.group_key or "",
            document.order_data,
        )
    ).casefold()
