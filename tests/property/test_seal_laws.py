"""The audit chain: whatever is changed in it, it is found."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.seal import GENESIS, LogEntry, link, verify
from support.invoices import NOON

texts = st.text(max_size=20)


@st.composite
def chains(draw: st.DrawFn) -> list[tuple[LogEntry, bytes]]:
    """A well-formed chain of one to six entries."""
    statuses = draw(st.lists(texts, min_size=1, max_size=6))
    chain: list[tuple[LogEntry, bytes]] = []
    previous, from_status = GENESIS, None
    for sequence, to_status in enumerate(statuses, start=1):
        entry = LogEntry(
            org_id=1,
            invoice_id=UUID(int=7),
            sequence=sequence,
            from_status=from_status,
            to_status=to_status,
            event=draw(texts),
            operator_uid=draw(texts),
            reason=draw(texts),
            metadata=draw(st.dictionaries(texts, texts | st.integers(), max_size=3)),
            request_id=draw(texts | st.none()),
            at=NOON + timedelta(seconds=draw(st.integers(0, 10**6))),
        )
        previous, from_status = link(previous, entry), to_status
        chain.append((entry, previous))
    return chain


@given(chains())
def test_an_untouched_chain_holds(chain: list[tuple[LogEntry, bytes]]) -> None:
    assert verify(chain) is None


@given(chains(), st.data())
def test_any_change_to_any_field_is_found_where_it_was_made(
    chain: list[tuple[LogEntry, bytes]], data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(chain) - 1))
    entry, stored = chain[position]
    forged = data.draw(
        st.sampled_from(
            [
                replace(entry, to_status=entry.to_status + "x"),
                replace(entry, event=entry.event + "x"),
                replace(entry, operator_uid=entry.operator_uid + "x"),
                replace(entry, reason=entry.reason + "x"),
                replace(entry, metadata={**entry.metadata, "x": "y", "forged": 1}),
                replace(entry, request_id=(entry.request_id or "") + "x"),
                replace(entry, at=entry.at + timedelta(microseconds=1)),
                replace(entry, org_id=2),
                replace(entry, invoice_id=UUID(int=8)),
            ]
        )
    )
    found = verify([*chain[:position], (forged, stored), *chain[position + 1 :]])
    assert found is not None
    assert found.sequence == position + 1


@given(chains(), st.data())
def test_a_missing_entry_is_found(chain: list[tuple[LogEntry, bytes]], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(chain) - 1))
    rest = [*chain[:position], *chain[position + 1 :]]
    # A chain cut at its end still holds by itself; its invoice's version tells (desk/proving.py).
    assert (verify(rest) is None) == (position == len(chain) - 1)
