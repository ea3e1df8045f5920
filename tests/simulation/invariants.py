"""What must always hold: I1 to I25 of the reliability specification, section 5.1.

Each is one query that finds whatever breaks it, so an empty answer is the good one. The cheap ones
are asked after every step, all in one question; the others where everything is at rest. What needs
a look at the chain is in `checker`. The pages of I23 this harness does not turn.
"""

from typing import Final, Literal

from simulation.money import MONEY
from simulation.parts import EDGES, INTENTS, NOT_HELD, OUT, Invariant

INVARIANTS: Final = (
    *MONEY,
    Invariant(
        "I10",
        "nothing is signed that nobody entitled, and not the maker alone, approved",
        f"""
        SELECT format('%%s %%s approved by %%s, invoice made by %%s, approved by %%s', m.purpose,
                      m.move_id, m.approved_by, i.detail->>'created_by', i.detail->>'approved_by')
          FROM move AS m JOIN invoice AS i USING (org_id, invoice_id)
         WHERE m.status IN ('signed', 'final') AND m.purpose IN {OUT} AND (
               m.warrant IS NULL OR m.approved_by IS NULL
            OR m.approved_by <> ALL(%(signers)s)
            -- Money of an invoice that ended before it was approved can only go back.
            OR (i.detail->>'approved_by' IS NULL AND (m.purpose = 'payout' OR NOT EXISTS (
                SELECT FROM invoice_log AS l
                 WHERE (l.org_id, l.invoice_id, l.from_status)
                     = (i.org_id, i.invoice_id, 'approval_pending')
                   AND l.event IN ('reject', 'cancel'))))
            OR i.detail->>'approved_by' <> ALL(%(reviewers)s)
            OR i.detail->>'approved_by' = i.detail->>'created_by'
            OR i.detail->'edited_by' ? (i.detail->>'approved_by'))
         UNION ALL
        SELECT format('refund of %%s ordered and approved by %%s', invoice_id, approved_by)
          FROM refund AS r WHERE approved_by = ordered_by AND NOT EXISTS (
               SELECT FROM invoice_log AS l WHERE (l.org_id, l.invoice_id, l.at, l.event)
                    = (r.org_id, r.invoice_id, r.ordered_at, 'sign_off'))
        """,
    ),
    Invariant(
        "I10 home",
        "what one person alone sends back goes to whoever sent at least as much",
        """
        SELECT format('%%s units of invoice %%s went to %%s on the word of %%s', m.amount_units,
                      r.invoice_id, r.address, r.approved_by)
          FROM refund AS r
          JOIN move AS m ON (m.org_id, m.purpose, m.source_id)
             = (r.org_id, 'partial_refund', replace(r.refund_id::text, '-', ''))
         WHERE r.approved_by = r.ordered_by AND m.status IN ('signed', 'final')
           AND m.amount_units > (
               SELECT coalesce(sum(amount_units), 0) FROM transfer AS t
                WHERE (t.org_id, t.invoice_id, t.chain, t.contract, t.from_address)
                    = (m.org_id, m.invoice_id, m.chain, m.contract, r.address)
                  -- Coin from inside a transaction, and what only the balance shows, is nobody's.
                  AND depth = 3 AND log_index >= -1 AND tx_hash NOT LIKE 'internal:%%')
               - (SELECT coalesce(sum(amount_units), 0) FROM move AS b
                   WHERE (b.org_id, b.invoice_id, b.chain, b.contract, b.destination)
                       = (m.org_id, m.invoice_id, m.chain, m.contract, r.address)
                     AND b.purpose IN ('refund', 'partial_refund') AND b.status = 'final'
                     AND b.created_at < m.created_at)
        """,
    ),
    Invariant(
        "I5 listed",
        "no money counts as clear whose payer a list named by then",
        # What strayed here beside a payment is looked at by itself, once it is to go back.
        """
        SELECT format('%%s of invoice %%s is clear, and %%s was listed', run_id, invoice_id,
                      address)
          FROM screening_run AS s
          JOIN invoice AS i USING (org_id, invoice_id)
          JOIN screening_list AS l ON l.imported_at < s.created_at
          JOIN screening_list_address AS a USING (list_code)
         WHERE a.version_to IS NULL AND s.decision = 'clear'
           AND EXISTS (
               SELECT FROM transfer AS t
                WHERE (t.org_id, t.invoice_id, t.from_address)
                    = (s.org_id, s.invoice_id, a.address)
                  AND depth > 1 AND first_seen_at < s.created_at
                  AND amount_units >= (i.detail->'policy'->>'dust_below')::numeric
                                    * CASE contract WHEN '' THEN 1e15 ELSE 1e6 END
                  AND CASE WHEN s.is_stray THEN (chain, contract) IN (
                      SELECT chain, contract FROM refund_amount
                        JOIN (SELECT refund_id FROM refund AS r
                               WHERE (r.org_id, r.invoice_id) = (s.org_id, s.invoice_id)
                                 AND ordered_at <= s.created_at
                               ORDER BY ordered_at DESC LIMIT 1) AS newest USING (refund_id))
                      ELSE (chain, contract) IN (
                      SELECT chain, contract FROM payment_request AS r
                       WHERE (r.org_id, r.invoice_id) = (s.org_id, s.invoice_id))
                      OR NOT EXISTS (
                      SELECT FROM transfer AS o
                        JOIN payment_request AS r USING (org_id, invoice_id, chain, contract)
                       WHERE (o.org_id, o.invoice_id) = (s.org_id, s.invoice_id)
                         AND o.first_seen_at < s.created_at) END)
        """,
    ),
    Invariant(
        "I10 hold",
        "held money is let go or refused by two people",
        """
        SELECT format('%%s of invoice %%s by %%s alone', event, invoice_id, operator_uid)
          FROM invoice_log AS l
         WHERE from_status = 'compliance_hold' AND to_status <> from_status
           AND event IN ('release', 'decline') AND NOT EXISTS (
               SELECT FROM invoice_log AS b
                WHERE (b.org_id, b.invoice_id, b.from_status, b.event)
                    = (l.org_id, l.invoice_id, l.from_status, l.event)
                  AND b.sequence < l.sequence AND b.operator_uid <> l.operator_uid)
        """,
    ),
    Invariant(
        "I12",
        "every status change has its one log row, along a documented edge, without a gap",
        f"""
        SELECT format('invoice %%s is %%s at version %%s; its log has %%s rows, up to %%s, %%s',
                      i.invoice_id, i.status, i.version, l.rows, l.high, z.to_status)
          FROM invoice AS i
          LEFT JOIN (SELECT org_id, invoice_id, count(*) AS rows, max(sequence) AS high
                       FROM invoice_log GROUP BY 1, 2) AS l USING (org_id, invoice_id)
          LEFT JOIN invoice_log AS z
               ON (z.org_id, z.invoice_id, z.sequence) = (i.org_id, i.invoice_id, i.version)
         WHERE l.rows IS DISTINCT FROM i.version OR l.high IS DISTINCT FROM i.version
            OR z.to_status IS DISTINCT FROM i.status
         UNION ALL
        SELECT format('invoice %%s went from %%s to %%s by %%s', invoice_id, from_status,
                      to_status, event)
          FROM invoice_log
         WHERE from_status IS NOT NULL AND (from_status, event, to_status) NOT IN (VALUES {EDGES})
           -- What people say about a payment that came or stands still leaves the invoice there.
           AND NOT (from_status = to_status AND event IN (
                    'transaction_named', 'transaction_checked', 'approved_again',
                    'token_fee_accepted', 'payment_withdrawn', 'redirect_ordered',
                    'redirect_withdrawn', 'payout_redirected'))
         UNION ALL
        SELECT format('invoice %%s: entry %%s begins at %%s', b.invoice_id, b.sequence,
                      b.from_status)
          FROM invoice_log AS a JOIN invoice_log AS b
            ON (b.org_id, b.invoice_id, b.sequence) = (a.org_id, a.invoice_id, a.sequence + 1)
         WHERE b.from_status IS DISTINCT FROM a.to_status
        """,
    ),
    Invariant(
        "I13",
        "what callbacks say is what the log says; there is one dialect so far",
        """
        SELECT format('callback %%s of %%s says %%s to %%s, the log %%s to %%s', o.sequence,
                      o.invoice_id, o.from_status, o.to_status, l.from_status, l.to_status)
          FROM outbox AS o LEFT JOIN invoice_log AS l USING (org_id, invoice_id, sequence)
         WHERE (o.from_status, o.to_status) IS DISTINCT FROM (l.from_status, l.to_status)
        """,
        "at rest",
    ),
    Invariant(
        "I14",
        "what has ended stays ended; only its money may still be sent back",
        # Also money that came after the end: then the invoice stands there again, or is refunded.
        """
        SELECT format('invoice %%s had ended as %%s, and went to %%s by %%s', z.invoice_id,
                      z.to_status, l.to_status, l.event)
          FROM invoice_log AS z
          JOIN invoice_log AS l ON (l.org_id, l.invoice_id) = (z.org_id, z.invoice_id)
           AND l.sequence > z.sequence
         WHERE z.to_status IN ('approval_rejected', 'cancelled', 'refunded', 'completed')
           AND l.to_status NOT IN (z.to_status, 'refund_pending', 'refund_processing', 'refunded')
         UNION ALL
        SELECT format('invoice %%s left %%s by %%s', invoice_id, from_status, event)
          FROM invoice_log
         WHERE from_status IN ('approval_rejected', 'cancelled', 'refunded', 'completed')
           AND to_status <> from_status AND event <> 'order_refund'
        """,
    ),
    Invariant(
        "I15",
        "an address has one owner and one invoice, for ever",
        """
        SELECT format('address %%s is shared', address) FROM deposit_address
         GROUP BY address HAVING count(*) > 1
         UNION ALL
        SELECT format('%%s invoices have the address %%s', count(*), deposit_address) FROM invoice
         GROUP BY deposit_address HAVING count(*) > 1
         UNION ALL
        SELECT format('invoice %%s shows %%s, which is not its own', i.invoice_id,
                      i.deposit_address)
          FROM invoice AS i
          LEFT JOIN deposit_address AS d ON (d.org_id, d.address) = (i.org_id, i.deposit_address)
         WHERE d.invoice_id IS DISTINCT FROM i.invoice_id
        """,
        "at rest",
    ),
    Invariant(
        "I16",
        "every change that is told of has exactly one callback, and no other has one",
        f"""
        SELECT format('invoice %%s, version %%s: %%s to %%s, callback %%s', invoice_id, sequence,
                      was.intent, became.intent, o.event_id)
          FROM (SELECT l.*, l.metadata::jsonb->>'context' AS context,
                       lag(l.metadata::jsonb->>'context') OVER history AS from_context
                  FROM invoice_log AS l
                WINDOW history AS (PARTITION BY org_id, invoice_id ORDER BY sequence)) AS l
          JOIN invoice AS i USING (org_id, invoice_id)
          LEFT JOIN (VALUES {INTENTS}) AS was (status, context, intent)
               ON (was.status, was.context) = (l.from_status, coalesce(l.from_context, ''))
          JOIN (VALUES {INTENTS}) AS became (status, context, intent)
               ON (became.status, became.context) = (l.to_status, coalesce(l.context, ''))
          LEFT JOIN outbox AS o USING (org_id, invoice_id, sequence)
         WHERE (o.event_id IS NOT NULL) <> (i.detail->>'callback_url' IS NOT NULL
                AND was.intent IS NOT NULL AND was.intent <> became.intent)
        """,
        "at rest",
    ),
    Invariant(
        "I16 parked",
        "what was delivered or given up says so, with its attempts",
        """
        SELECT format('callback %%s is %%s after %%s attempts, %%s written down', event_id, status,
                      attempts, (SELECT count(*) FROM outbox_attempt AS a
                                  WHERE (a.org_id, a.event_id) = (o.org_id, o.event_id)))
          FROM outbox AS o
         WHERE (status = 'delivered' AND delivered_at IS NULL)
            OR (status IN ('delivered', 'parked') AND NOT EXISTS (
                SELECT FROM outbox_attempt AS a
                 WHERE (a.org_id, a.event_id) = (o.org_id, o.event_id)))
        """,
        "at rest",
    ),
    Invariant(
        "I17",
        "a key has at most one effect: each creates one invoice at most",
        """
        SELECT format('the key %%s made %%s invoices', detail->'document'->>'description',
                      count(*))
          FROM invoice WHERE detail->'document'->>'description' LIKE 'key-%%'
         GROUP BY org_id, detail->'document'->>'description' HAVING count(*) > 1
         UNION ALL
        SELECT format('the key %%s is there without its answer', key) FROM idempotency_key
         WHERE status_code IS NULL
         UNION ALL
        SELECT format('invoice %%s came with a key that nobody remembers', invoice_id)
          FROM invoice AS i
         WHERE detail->'document'->>'description' LIKE 'key-%%' AND created_at > %(keys_since)s
           AND NOT EXISTS (SELECT FROM idempotency_key AS k
                            WHERE k.org_id = i.org_id
                              AND k.key = i.detail->'document'->>'description')
        """,
    ),
    Invariant(
        "I18",
        "nobody does anything to another organisation's invoice",
        """
        SELECT format('%%s of another organisation: %%s of %%s', operator_uid, event, invoice_id)
          FROM invoice_log AS l
          JOIN unnest(%(uids)s::text[], %(uid_orgs)s::bigint[]) AS p (uid, org_id)
            ON p.uid = l.operator_uid
         WHERE p.org_id <> l.org_id
        """,
    ),
    Invariant(
        "I19",
        "no work is lost: who must be screened or told is waited for by an effect",
        """
        SELECT format('invoice %%s is in screening and nobody will screen it', invoice_id)
          FROM invoice AS i WHERE status = 'screening' AND NOT EXISTS (
               SELECT FROM effect AS e WHERE (e.org_id, e.invoice_id, e.kind)
                    = (i.org_id, i.invoice_id, 'screen') AND done_at IS NULL)
         UNION ALL
        SELECT format('effect %%s is done and still held', effect_id) FROM effect
         WHERE done_at IS NOT NULL AND lease_token IS NOT NULL
         UNION ALL
        SELECT format('invoice %%s waits in %%s without a move that could end it', invoice_id,
                      status)
          FROM invoice AS i
         WHERE status IN ('sweeping', 'payout_processing', 'refund_processing') AND NOT EXISTS (
               SELECT FROM move AS m WHERE (m.org_id, m.invoice_id) = (i.org_id, i.invoice_id)
                  AND m.status IN ('ready', 'signed', 'waiting', 'parked'))
        """,
    ),
    Invariant(
        "I21",
        "who paid enough in time is never told that it was late",
        """
        SELECT format('invoice %%s, due %%s, is paid_late, with %%s of %%s in time', i.invoice_id,
                      i.deadline_at, t.units, r.due_units)
          FROM invoice AS i
          JOIN payment_request AS r USING (org_id, invoice_id)
          JOIN LATERAL (
               SELECT sum(amount_units) AS units FROM transfer AS t
                WHERE (t.org_id, t.invoice_id, t.chain, t.contract)
                    = (i.org_id, i.invoice_id, r.chain, r.contract)
                  AND t.depth > 0
                  AND amount_units >= CASE t.contract WHEN '' THEN 1000000000000 ELSE 10000 END
                  AND least(t.first_seen_at, t.block_at) <= i.deadline_at) AS t ON true
         WHERE i.context = 'paid_late' AND t.units >= r.due_units
           AND i.status IN ('resolution_required', 'sign_pending')
         UNION ALL
        SELECT format('invoice %%s expired at %%s while %%s was read up to %%s only', i.invoice_id,
                      i.deadline_at, c.chain, c.head_at)
          FROM invoice AS i
          JOIN payment_request AS r USING (org_id, invoice_id)
          JOIN ingest.chain_cursor AS c USING (chain)
         WHERE i.invoice_id = ANY(%(just_expired)s::uuid[]) AND c.head_at < i.deadline_at
        """,
    ),
    Invariant(
        "I22",
        "what is due was computed once, from a stored rate, and rounded up to a base unit",
        """
        SELECT format('invoice %%s owes %%s at %%s', r.invoice_id, r.due_units, q.rate)
          FROM payment_request AS r JOIN invoice AS i USING (org_id, invoice_id)
          JOIN LATERAL (SELECT CASE r.contract WHEN '' THEN 1e18 ELSE 1e6 END AS units) AS one
               ON true
          LEFT JOIN LATERAL jsonb_to_record(r.quote)
               AS q (base text, quote text, rate numeric, source text, observed_at timestamptz)
               ON true
         WHERE (r.quote IS NULL AND i.detail->'price'->>'mode' = 'crypto'
                AND r.due_units <> (i.detail->'price'->>'amount')::numeric * one.units)
            OR (r.quote IS NOT NULL AND (
                r.due_units <> ceil((i.detail->'price'->>'amount')::numeric * one.units / q.rate)
                OR NOT EXISTS (
                   SELECT FROM rate_snapshot AS s
                    WHERE (s.base, s.quote, s.observed_at, s.source, s.rate)
                        = (q.base, q.quote, q.observed_at, q.source, q.rate))))
        """,
        "at rest",
    ),
    Invariant(
        "I23",
        "the kept counts are those of the invoices",
        """
        SELECT format('%%s %%s %%s of organisation %%s: %%s too many', status, context,
                      settlement, org_id, sum(n))
          FROM (SELECT org_id, status, context, settlement, archived, count AS n
                  FROM invoice_count
                 UNION ALL
                SELECT org_id, status, context, settlement, archived, -1 FROM invoice) AS sides
         GROUP BY org_id, status, context, settlement, archived HAVING sum(n) <> 0
        """,
        "at rest",
    ),
    Invariant(
        "I25",
        "at rest nothing waits for us: only for people, and in sight",
        f"""
        SELECT format('%%s of %%s is %%s since %%s, %%s', purpose, invoice_id, status, updated_at,
                      wait_reason)
          FROM move AS m WHERE status = 'signed' OR (status = 'ready'
           -- For people: what was found after they approved a refund.
           AND NOT starts_with(coalesce(wait_reason, ''), 'screening ') AND EXISTS (
               SELECT FROM ingest.wallet AS w WHERE w.org_id = m.org_id AND w.chain = m.chain)
           {NOT_HELD})
         UNION ALL
        SELECT format('%%s for %%s is due at %%s: %%s', kind, invoice_id, due_at, last_error)
          FROM effect WHERE done_at IS NULL
         UNION ALL
        SELECT format('callback %%s is due at %%s', event_id, due_at) FROM outbox
         WHERE status = 'pending'
         UNION ALL
        SELECT format('%%s of %%s is at depth %%s', tx_hash, invoice_id, depth) FROM transfer
         WHERE depth IN (1, 2)
         UNION ALL
        SELECT format('invoice %%s is %%s', invoice_id, status) FROM invoice
         WHERE status IN ('payment_detected', 'screening')
         UNION ALL
        SELECT format('transaction %%s is %%s', tx_hash, status) FROM ingest.chain_tx
         WHERE status IN ('signed', 'sent')
        """,
        "at rest",
    ),
)


def question(when: Literal["always", "at rest"]) -> str:
    """All invariants of a kind as one question: name and finding of whatever is broken."""
    parts = [
        f"SELECT '{one.name}'::text AS name, finding FROM ({one.query}) AS q (finding)"
        for one in INVARIANTS
        if when in (one.when, "at rest")
    ]
    return "\nUNION ALL\n".join(parts)
