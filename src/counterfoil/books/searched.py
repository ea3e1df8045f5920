"""What an invoice is found and sorted by: columns of its document, its price and their currency.

Some of them stand in a table of their own, as what stands beside the status is written anew in
every index whenever the status changes.
"""

from counterfoil.core import search
from counterfoil.core.invoice import Invoice, number_label
from counterfoil.db.pool import Tx
from counterfoil.db.rows import array_text, execute


def columns(invoice: Invoice) -> dict[str, object]:
    """The text that lists look into with its grams, and what else they choose and sort by.

    An amount in tokens is in the currency that their symbol names.
    """
    text = _text(invoice)
    return {
        "recipient_email": invoice.document.recipient_email,
        "group_key": invoice.document.group_key,
        "search_text": text,
        "grams": kept_grams(text, number_label(invoice), invoice.org_id),
        "price_currency": _currency(invoice),
        "price_amount": invoice.price.amount,
    }


def kept_grams(text: str, number: str, org_id: int) -> str:
    """What a text is found by, as an array that `grams_of_org` says is its organisation's own."""
    return array_text(search.of_org(search.grams(text, number), org_id))


def differ(before: Invoice, after: Invoice) -> bool:
    """Whether a changed invoice may have other columns than before."""
    return (
        after.document != before.document
        or after.price != before.price
        or _currency(after) != _currency(before)
    )


async def save(tx: Tx, invoice: Invoice) -> None:
    """Write the columns of an invoice anew."""
    await execute(
        tx,
        """
        WITH searched AS (
            UPDATE invoice_search
               SET grams = %(grams)s::integer[], grams_of_org = true,
                   price_currency = %(price_currency)s,
                   price_amount = %(price_amount)s
             WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s
        )
        UPDATE invoice
           SET recipient_email = %(recipient_email)s, group_key = %(group_key)s,
               search_text = %(search_text)s
         WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s
        """,
        {"org_id": invoice.org_id, "invoice_id": invoice.invoice_id} | columns(invoice),
    )


def _currency(invoice: Invoice) -> str:
    return invoice.price.currency or invoice.requests[0].asset.symbol


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
