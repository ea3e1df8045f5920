-- What was signed for though it was not asked for is named on its invoice from now on. What was signed for
-- before shows in what the signature planned, which is named after the invoice itself.
UPDATE invoice
   SET detail = detail || jsonb_build_object('taken_assets', taken.assets)
  FROM (SELECT org_id, invoice_id,
               jsonb_agg(DISTINCT chain || ':' || coalesce(nullif(contract, ''), 'native')) AS assets
          FROM move
         WHERE purpose IN ('sweep', 'restore', 'payout')
           AND source_id = replace(invoice_id::text, '-', '')
           AND NOT EXISTS (SELECT FROM payment_request AS asked
                            WHERE (asked.org_id, asked.invoice_id, asked.chain, asked.contract)
                                = (move.org_id, move.invoice_id, move.chain, move.contract))
         GROUP BY org_id, invoice_id) AS taken
 WHERE (taken.org_id, taken.invoice_id) = (invoice.org_id, invoice.invoice_id);

-- What is left at those of them that have ended is looked at once more.
UPDATE money_after_end
   SET worth_dollars = NULL
  FROM invoice
 WHERE (invoice.org_id, invoice.invoice_id) = (money_after_end.org_id, money_after_end.invoice_id)
   AND detail ? 'taken_assets';
