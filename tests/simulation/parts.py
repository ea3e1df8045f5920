"""What an invariant is, and pieces of SQL that several are made of."""

from dataclasses import dataclass
from typing import Final, Literal

from counterfoil.core.invoice import Context, Status
from support.documented import WAYS, words


class Violation(Exception):  # noqa: N818 - named for what is found
    """An invariant does not hold."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(f"{name}: {sentence}")
        self.name = name
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Invariant:
    """``query`` answers one column of text, a line for each thing that breaks the invariant."""

    name: str
    says: str
    query: str
    when: Literal["always", "at rest"] = "always"


BALANCES: Final = """
    SELECT org_id, account, invoice_id, chain, contract, sum(units) AS units FROM (
        SELECT org_id, destination AS account, invoice_id, chain, contract, amount_units AS units
          FROM posting
         UNION ALL
        SELECT org_id, source, invoice_id, chain, contract, -amount_units FROM posting) AS sides
     GROUP BY org_id, account, invoice_id, chain, contract
"""

OUT: Final = "('payout', 'refund', 'partial_refund')"

NOT_HELD: Final = """
    AND (m.purpose = 'quarantine' OR NOT EXISTS (
         SELECT FROM invoice AS h
          WHERE (h.org_id, h.invoice_id, h.status) = (m.org_id, m.invoice_id, 'compliance_hold')))
"""
"""Of movements ``m`` that are ready: what was found after the signature waits for people too."""

EDGES: Final = ", ".join(f"('{was}', '{on}', '{to}')" for was, on, to in sorted(WAYS))
"""The documented table, as rows of from, event and to."""

INTENTS: Final = ", ".join(
    f"('{status.value}', '{context.value if context else ''}', '{words(status, context)[1]}')"
    for status in Status
    for context in (None, *Context)
)
"""What the wire calls each standing, as rows of status, context and intent."""
