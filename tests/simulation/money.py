"""What must always hold about money: it comes in once, belongs to somebody, and leaves once."""

from typing import Final

from simulation.parts import BALANCES, OUT, Invariant

MONEY: Final = (
    Invariant(
        "I1",
        "no account of ours is below zero, and every journal entry has its postings",
        f"""
        SELECT format('%%s of %%s holds %%s of %%s', account, org_id, sum(units), contract)
          FROM ({BALANCES}) AS b WHERE account NOT LIKE 'outside:%%'
         GROUP BY org_id, account, chain, contract HAVING sum(units) < 0
         UNION ALL
        SELECT format('%%s of invoice %%s holds %%s', account, invoice_id, units)
          FROM ({BALANCES}) AS b
         WHERE account IN ('deposit', 'child') AND invoice_id IS NOT NULL AND units < 0
         UNION ALL
        SELECT format('entry %%s has no posting', cause) FROM journal_entry AS e
         WHERE NOT EXISTS (SELECT FROM posting AS p
                            WHERE (p.org_id, p.cause) = (e.org_id, e.cause))
        """,
    ),
    Invariant(
        "I2",
        "no amount is NaN, infinite, negative or finer than a base unit",
        """
        SELECT format('%%s: %%s', kind, units) FROM (
            SELECT 'posting' AS kind, amount_units AS units FROM posting
             UNION ALL SELECT 'transfer', amount_units FROM transfer
             UNION ALL SELECT 'aside', amount_units FROM ingest.unassigned_transfer
             UNION ALL SELECT 'move', amount_units FROM move
             UNION ALL SELECT 'moved', moved_units FROM move WHERE moved_units IS NOT NULL
             UNION ALL SELECT 'due', due_units FROM payment_request) AS amounts
         WHERE units::text !~ '^[0-9]+$'
        """,
        "at rest",
    ),
    Invariant(
        "I4",
        "each final transfer is credited exactly once, and nothing else ever is",
        """
        SELECT format('%%s: transfer %%s, booked %%s', coalesce(e.cause, t.cause), t.amount_units,
                      p.amount_units)
          FROM (SELECT org_id, format('transfer:%%s:%%s:%%s', chain, tx_hash, log_index) AS cause,
                       amount_units, invoice_id,
                       CASE deposit_mode WHEN 'hd' THEN 'child' ELSE 'deposit' END AS lies
                  FROM transfer WHERE depth = 3) AS t
          FULL JOIN (SELECT org_id, cause, invoice_id FROM journal_entry
                      WHERE cause LIKE 'transfer:%%') AS e USING (org_id, cause)
          LEFT JOIN posting AS p ON (p.org_id, p.cause) = (e.org_id, e.cause)
         WHERE t.cause IS NULL OR e.cause IS NULL OR p.amount_units <> t.amount_units
            OR e.invoice_id IS DISTINCT FROM t.invoice_id OR p.destination <> t.lies
         UNION ALL
        SELECT format('%%s:%%s is credited and kept aside', t.tx_hash, t.log_index)
          FROM transfer AS t JOIN ingest.unassigned_transfer AS u USING (chain, tx_hash, log_index)
         WHERE t.depth = 3 AND u.depth = 3
        """,
    ),
    Invariant(
        "I4 settled",
        "where the final pass went over, every transfer is final or gone, or nodes disagree on it",
        """
        SELECT format('%%s:%%s in block %%s is at depth %%s, the final pass is at %%s', t.tx_hash,
                      t.log_index, t.block_number, t.depth, c.final_number)
          FROM transfer AS t JOIN ingest.chain_cursor AS c USING (chain)
         WHERE t.depth IN (1, 2) AND t.block_number <= c.final_number AND NOT EXISTS (
               SELECT FROM ingest.doubted_transfer AS d
                WHERE (d.chain, d.tx_hash, d.log_index) = (t.chain, t.tx_hash, t.log_index))
        """,
    ),
    Invariant(
        "I5",
        "what is signed for is final, screened and not on hold",
        """
        SELECT format('%%s %%s of %%s units was signed with %%s final, status %%s, screening %%s',
                      m.purpose, m.move_id, m.amount_units, coalesce(r.final_units, 0), i.status,
                      s.decision)
          FROM ingest.chain_tx AS c
          JOIN move AS m ON (m.chain, m.wallet, m.nonce) = (c.chain, c.wallet, c.nonce)
          JOIN invoice AS i ON (i.org_id, i.invoice_id) = (m.org_id, m.invoice_id)
          LEFT JOIN LATERAL (
               SELECT sum(amount_units) AS final_units FROM transfer AS t
                WHERE (t.org_id, t.invoice_id, t.chain, t.contract)
                    = (m.org_id, m.invoice_id, m.chain, m.contract) AND depth = 3) AS r ON true
          LEFT JOIN LATERAL (
               SELECT decision FROM screening_run AS s
                WHERE (s.org_id, s.invoice_id) = (m.org_id, m.invoice_id)
                ORDER BY created_at DESC, run_id DESC LIMIT 1) AS s ON true
         WHERE c.tx_hash = ANY(%(fresh)s) AND (
               coalesce(r.final_units, 0) < m.amount_units
            OR s.decision IS NULL
            OR (m.purpose = 'quarantine'
                AND i.status NOT IN ('compliance_hold', 'compliance_declined'))
            OR (m.purpose <> 'quarantine'
                AND i.status NOT IN ('sweeping', 'payout_processing', 'refund_processing'))
            OR (s.decision <> 'clear' AND m.purpose <> 'quarantine'
                AND i.status <> 'refund_processing'
                AND jsonb_array_length(i.detail->'releases') < 2))
        """,
    ),
    Invariant(
        "I5 finding",
        "money in which something was found, or of which answers are missing, is held",
        """
        SELECT format('invoice %%s: found was %%s, and it went to %%s', invoice_id,
                      metadata::jsonb->>'decision', to_status)
          FROM invoice_log
         WHERE event = 'screened' AND metadata::jsonb->>'decision' <> 'clear'
           AND to_status <> 'compliance_hold'
           -- A refund goes on: it is how such money leaves.
           AND from_status NOT IN ('refund_pending', 'refund_processing')
        """,
    ),
    Invariant(
        "I20",
        "nothing is signed by a frozen wallet, for held money, or to a sanctioned address",
        """
        SELECT format('%%s %%s of %%s to %%s was signed by %%s while %%s', m.purpose, m.move_id,
                      m.amount_units, m.destination, c.wallet, coalesce(i.status, 'it was frozen'))
          FROM ingest.chain_tx AS c
          JOIN move AS m ON (m.chain, m.wallet, m.nonce) = (c.chain, c.wallet, c.nonce)
          LEFT JOIN invoice AS i ON (i.org_id, i.invoice_id) = (m.org_id, m.invoice_id)
         WHERE c.tx_hash = ANY(%(fresh)s) AND (
               c.wallet = ANY(%(were_frozen)s)
            OR m.destination = ANY(%(listed)s)
            OR (i.status IN ('compliance_hold', 'compliance_declined')
                AND m.purpose <> 'quarantine'))
        """,
    ),
    Invariant(
        "I20 place",
        "nothing is signed for a place that was removed, nor for one that is good only later",
        """
        SELECT format('payout %%s was signed to %%s, where nothing may go', m.move_id,
                      m.destination)
          FROM ingest.chain_tx AS c
          JOIN move AS m ON (m.chain, m.wallet, m.nonce) = (c.chain, c.wallet, c.nonce)
         WHERE c.tx_hash = ANY(%(fresh)s) AND m.purpose = 'payout'
           -- More offered for the gas of a payment that is under way pays nothing else.
           AND c.attempt = 0 AND EXISTS (
               SELECT FROM payout_address AS p
                WHERE (p.org_id, p.address) = (m.org_id, m.destination))
           AND NOT EXISTS (
               SELECT FROM payout_address AS p
                WHERE (p.org_id, p.address) = (m.org_id, m.destination)
                  AND p.removed_at IS NULL AND p.usable_at <= %(now)s)
        """,
    ),
    Invariant(
        "I5 final",
        "nothing counts as final that the chain can still undo",
        """
        SELECT format('%%s of block %%s counts as final, the chain is final up to %%s', what,
                      block_number, final)
          FROM (SELECT chain, tx_hash AS what, block_number FROM transfer WHERE depth = 3
                 UNION ALL
                SELECT chain, tx_hash, block_number FROM ingest.chain_tx
                 WHERE status IN ('final', 'reverted', 'empty')) AS f
          JOIN unnest(%(keys)s::text[], %(finals)s::bigint[]) AS c (chain, final) USING (chain)
         WHERE block_number > final
        """,
    ),
    Invariant(
        "I6",
        "what leaves for an invoice is never more than what came in for it",
        f"""
        SELECT format('invoice %%s: %%s out of %%s', m.invoice_id, m.units, t.units)
          FROM (SELECT org_id, invoice_id, chain, contract, sum(amount_units) AS units FROM move
                 WHERE purpose IN {OUT} AND status IN ('signed', 'final')
                   AND invoice_id IS NOT NULL
                 GROUP BY 1, 2, 3, 4) AS m
          LEFT JOIN (SELECT org_id, invoice_id, chain, contract, sum(amount_units) AS units
                       FROM transfer WHERE depth = 3 GROUP BY 1, 2, 3, 4) AS t
               USING (org_id, invoice_id, chain, contract)
         WHERE m.units > coalesce(t.units, 0)
        """,
    ),
    Invariant(
        "I6 closed",
        "for each invoice: received = paid out + sent back + still with us",
        f"""
        SELECT format('invoice %%s: %%s came in, %%s went out, %%s is with us', invoice_id,
                      coalesce(t.units, 0), coalesce(m.units, 0), coalesce(b.units, 0))
          FROM (SELECT org_id, invoice_id, chain, contract, sum(amount_units) AS units
                  FROM transfer WHERE depth = 3 GROUP BY 1, 2, 3, 4) AS t
          FULL JOIN (SELECT org_id, invoice_id, chain, contract, sum(moved_units) AS units
                       FROM move WHERE purpose IN {OUT} AND status IN ('final', 'parked')
                        AND invoice_id IS NOT NULL AND moved_units > 0
                      GROUP BY 1, 2, 3, 4) AS m USING (org_id, invoice_id, chain, contract)
          FULL JOIN (SELECT org_id, invoice_id, chain, contract, sum(units) AS units
                       FROM ({BALANCES}) AS b
                      WHERE account IN ('deposit', 'pool', 'pool:coin', 'hold', 'hold:coin')
                        AND invoice_id IS NOT NULL
                         OR account = 'child' AND contract <> ''
                      GROUP BY 1, 2, 3, 4) AS b USING (org_id, invoice_id, chain, contract)
         WHERE coalesce(t.units, 0) <> coalesce(m.units, 0) + coalesce(b.units, 0)
        """,
        "at rest",
    ),
    Invariant(
        "I24 list",
        "where an invoice has ended with money still with us, it is listed with what that is worth",
        # Where no payout was asked for, the pool is where what was signed for stays. Of that only
        # what refunds took along and did not send is left, which the next ones send first.
        """
        WITH ended AS (
            SELECT i.*, status = 'completed' AND detail->'payout_to' = '{}' AS stays
              FROM invoice AS i
             WHERE status IN ('approval_rejected', 'cancelled', 'completed', 'refunded')),
        came AS (
            SELECT org_id, invoice_id, chain, contract, sum(amount_units) AS units,
                   bool_or(EXISTS (SELECT FROM payment_request AS r
                                    WHERE (r.org_id, r.invoice_id, r.chain, r.contract)
                                        = (t.org_id, t.invoice_id, t.chain, t.contract))
                       -- What was signed for instead is the payment as well.
                       OR detail->'taken_assets' ? format('%%s:%%s', chain,
                                                  coalesce(nullif(contract, ''), 'native'))) AS due
              FROM transfer AS t JOIN ended USING (org_id, invoice_id)
             WHERE depth = 3 AND amount_units >= (detail->'policy'->>'dust_below')::numeric
                                               * CASE contract WHEN '' THEN 1e15 ELSE 1e6 END
             GROUP BY 1, 2, 3, 4),
        went AS (
            SELECT org_id, invoice_id, chain, contract,
                   sum(amount_units) FILTER (WHERE destination IN ('outside:payer',
                           'outside:merchant', 'outside:token')) AS gone,
                   sum(amount_units) FILTER (WHERE source IN ('deposit', 'child')
                           AND destination <> 'outside:network') AS swept,
                   coalesce(sum(amount_units) FILTER (WHERE destination LIKE 'hold%%'), 0)
                 - coalesce(sum(amount_units) FILTER (WHERE source LIKE 'hold%%'), 0) AS held
              FROM posting JOIN ended USING (org_id, invoice_id)
             WHERE source <> 'outside:payer' GROUP BY 1, 2, 3, 4),
        step AS (
            SELECT r.org_id, r.invoice_id, chain, contract, r.number, sum(units) AS units
              FROM refund AS r JOIN ended AS i USING (org_id, invoice_id)
              JOIN (SELECT org_id, source_id::uuid AS refund_id, chain, contract,
                           CASE WHEN purpose IN ('sweep', 'restore') THEN moved_units
                                ELSE -moved_units END AS units, false AS asked
                      FROM move WHERE moved_units > 0 AND source_id ~ '^[0-9a-f]{32}$'
                       AND purpose IN ('sweep', 'restore', 'refund', 'partial_refund')
                     UNION ALL
                    SELECT org_id, refund_id, chain, contract, amount_units, true
                      FROM refund_amount) AS m USING (org_id, refund_id)
             WHERE stays AND r.approved_at >= (detail->>'signed_off_at')::timestamptz
               AND (NOT asked OR r.approved_at = (detail->>'signed_off_at')::timestamptz)
             GROUP BY 1, 2, 3, 4, 5),
        taken AS (
            SELECT org_id, invoice_id, chain, contract,
                   max(units) FILTER (WHERE last) - least(0, min(units)) AS units
              FROM (SELECT org_id, invoice_id, chain, contract,
                           sum(units) OVER (way ORDER BY number) AS units,
                           number = max(number) OVER way AS last
                      FROM step
                    WINDOW way AS (PARTITION BY org_id, invoice_id, chain, contract)) AS summed
             GROUP BY 1, 2, 3, 4),
        judged AS (
            SELECT *, due OR NOT EXISTS (
                       SELECT FROM came AS o WHERE o.due
                          AND (o.org_id, o.invoice_id) = (came.org_id, came.invoice_id)) AS paid
              FROM came),
        there AS (
            SELECT org_id, invoice_id,
                   sum(CASE contract WHEN '' THEN 1e-15 ELSE 1e-6 END * greatest(0, CASE
                       WHEN NOT stays OR NOT paid THEN c.units - coalesce(gone, 0)
                       ELSE greatest(0, c.units - coalesce(swept, 0))
                          + greatest(0, least(coalesce(k.units, 0), coalesce(swept, 0)
                                                 - coalesce(gone, 0) - coalesce(held, 0)))
                       END)) AS worth
              FROM judged AS c JOIN ended USING (org_id, invoice_id)
              LEFT JOIN went USING (org_id, invoice_id, chain, contract)
              LEFT JOIN taken AS k USING (org_id, invoice_id, chain, contract)
             GROUP BY 1, 2)
        SELECT format('invoice %%s has %%s dollars left there, listed are %%s', invoice_id, worth,
                      listed)
          FROM (SELECT org_id, invoice_id, coalesce(worth, 0) AS worth,
                       coalesce(worth_dollars, 0) AS listed
                  FROM there FULL JOIN money_after_end USING (org_id, invoice_id)) AS l
         WHERE worth <> listed
           -- What is not final yet may count or not, and of what is new nobody was told so far.
           AND NOT EXISTS (SELECT FROM transfer AS t WHERE depth IN (1, 2)
                AND (t.org_id, t.invoice_id) = (l.org_id, l.invoice_id))
           AND NOT EXISTS (SELECT FROM effect AS e WHERE kind <> 'screen' AND done_at IS NULL
                AND (e.org_id, e.invoice_id) = (l.org_id, l.invoice_id))
        """,
    ),
    Invariant(
        "I9",
        "each nonce has one lineage, and none is left out",
        """
        SELECT format('wallet %%s: %%s nonces for %%s', w.address, c.used, w.next_nonce)
          FROM ingest.wallet AS w
          JOIN (SELECT chain, wallet, count(DISTINCT nonce) AS used, min(nonce) AS low,
                       max(nonce) AS high
                  FROM ingest.chain_tx GROUP BY 1, 2) AS c
               ON (c.chain, c.wallet) = (w.chain, w.address)
         WHERE w.address <> ALL(%(thawed)s)
           AND (c.high <> w.next_nonce - 1 OR c.used <> c.high - c.low + 1)
         UNION ALL
        SELECT format('two transactions with nonce %%s of %%s ended on the chain', nonce, wallet)
          FROM ingest.chain_tx WHERE status IN ('final', 'reverted', 'empty')
         GROUP BY chain, wallet, nonce HAVING count(*) > 1
         UNION ALL
        SELECT format('move %%s is signed and no transaction carries it', move_id) FROM move AS m
         WHERE status = 'signed' AND NOT EXISTS (
               SELECT FROM ingest.chain_tx AS c
                WHERE (c.chain, c.wallet, c.nonce) = (m.chain, m.wallet, m.nonce))
        """,
    ),
    Invariant(
        "I9 carried",
        "a movement keeps its nonce while the transaction that carries it may still land",
        """
        SELECT format('%%s with nonce %%s of %%s may land and carries nothing', tx_hash, nonce,
                      wallet)
          FROM ingest.chain_tx AS c
         WHERE status IN ('signed', 'sent') AND NOT cancels AND NOT EXISTS (
               SELECT FROM move AS m
                WHERE (m.chain, m.wallet, m.nonce) = (c.chain, c.wallet, c.nonce))
        """,
    ),
    Invariant(
        "I1 fees",
        "whatever the chain took for a transaction of ours is booked",
        """
        SELECT format('%%s ended %%s, its fee of %%s is not booked', tx_hash, status, fee_wei)
          FROM ingest.chain_tx AS c
          JOIN ingest.wallet AS w ON (w.chain, w.address) = (c.chain, c.wallet)
         WHERE fee_wei > 0 AND NOT EXISTS (
               SELECT FROM posting AS p WHERE (p.org_id, p.cause, p.amount_units)
                    = (w.org_id, format('fee:%%s:%%s', c.chain, tx_hash), fee_wei))
        """,
    ),
)
