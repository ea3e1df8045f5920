"""What is looked up in the database between steps."""

from typing import Final

STATE: Final = """
SELECT json_build_object(
    'hashes', (SELECT coalesce(json_agg(tx_hash), '[]') FROM ingest.chain_tx),
    'effects', (SELECT coalesce(json_agg(json_build_array(effect_id,
                       lease_token, extract(epoch FROM lease_until),
                       done_at IS NOT NULL)), '[]') FROM effect WHERE kind = 'screen'),
    'callbacks', (SELECT coalesce(json_agg(json_build_array(event_id,
                         lease_token, extract(epoch FROM lease_until),
                         status <> 'pending')), '[]') FROM outbox),
    'cursors', (SELECT coalesce(json_agg(json_build_array(chain, lease_token,
                       concat(head_number, head_hash, safe_number, final_number))), '[]')
                  FROM ingest.chain_cursor),
    'expired', (SELECT coalesce(json_agg(invoice_id), '[]') FROM invoice WHERE status = 'expired'),
    'frozen', (SELECT coalesce(json_agg(address), '[]') FROM ingest.wallet
                WHERE frozen_reason IS NOT NULL)
)"""
"""What is compared between two steps."""

DUE: Final = """
SELECT 'watch:' || chain FROM ingest.chain_cursor
  JOIN unnest(%(keys)s::text[], %(heads)s::bigint[]) AS h (chain, head) USING (chain)
 WHERE head_number < head
 UNION ALL
SELECT CASE kind WHEN 'screen' THEN 'screen' ELSE 'retell' END FROM effect
 WHERE done_at IS NULL AND due_at <= %(now)s
   AND (lease_until IS NULL OR lease_until <= %(now)s)
 UNION ALL
SELECT 'notify' FROM outbox WHERE status = 'pending' AND due_at <= %(now)s
   AND (lease_until IS NULL OR lease_until <= %(now)s)
 UNION ALL
SELECT 'move' FROM move
 WHERE status = 'signed' OR (status = 'ready' AND (wait_until IS NULL OR wait_until <= %(now)s)
       AND EXISTS (SELECT FROM ingest.wallet AS w
                    WHERE (w.org_id, w.chain) = (move.org_id, move.chain)))
 UNION ALL
SELECT 'expire' FROM invoice
 WHERE status = 'awaiting_payment' AND deadline_at <= %(now)s
"""
"""The workers that would find something to do just now."""
