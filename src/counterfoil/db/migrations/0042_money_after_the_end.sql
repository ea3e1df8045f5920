-- Ended invoices with money still with us. It is kept up with every change of such an invoice
-- (desk/after_end.py), since an organisation's postings are too many to add up for each look.
CREATE TABLE money_after_end (
    org_id        bigint NOT NULL,
    invoice_id    uuid NOT NULL,
    -- Roughly, to put the most first. NULL: whether something is left has still to be looked up.
    worth_dollars numeric CHECK (worth_dollars > 0),
    PRIMARY KEY (org_id, invoice_id),
    FOREIGN KEY (org_id, invoice_id) REFERENCES invoice (org_id, invoice_id)
);
CREATE INDEX money_after_end_by_worth ON money_after_end (org_id, worth_dollars DESC, invoice_id);
CREATE INDEX money_after_end_unweighed ON money_after_end (org_id, invoice_id)
    WHERE worth_dollars IS NULL;

INSERT INTO money_after_end (org_id, invoice_id)
SELECT DISTINCT org_id, invoice_id
  FROM (SELECT org_id, invoice_id,
               sum(CASE WHEN source = 'outside:payer' THEN amount_units
                        WHEN destination IN ('outside:payer', 'outside:merchant')
                        THEN -amount_units ELSE 0 END) AS with_us_units,
               sum(CASE WHEN destination IN ('deposit', 'child') THEN amount_units
                        WHEN source IN ('deposit', 'child') THEN -amount_units
                        ELSE 0 END) AS lying_units
          FROM posting
         WHERE invoice_id IS NOT NULL AND source <> 'gas' AND destination <> 'outside:network'
         GROUP BY org_id, invoice_id, chain, contract) AS there
  JOIN invoice USING (org_id, invoice_id)
 WHERE status IN ('approval_rejected', 'cancelled', 'completed', 'refunded')
   AND (lying_units > 0
        OR (with_us_units > 0
            AND (status <> 'completed' OR detail -> 'payout_to' <> '{}'
                 OR EXISTS (SELECT FROM refund
                             WHERE (refund.org_id, refund.invoice_id)
                                 = (invoice.org_id, invoice.invoice_id)))));
