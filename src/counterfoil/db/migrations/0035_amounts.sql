-- Lists by amount. The amounts stand where no change of a status writes them anew; those of one currency
-- stand together, an amount in tokens under their symbol.
ALTER TABLE invoice_search
    ADD COLUMN price_currency text COLLATE "C",
    ADD COLUMN price_amount numeric;

UPDATE invoice_search
   SET price_currency = coalesce(detail -> 'price' ->> 'currency', (
           SELECT CASE
                      WHEN contract = '' THEN 'ETH'
                      WHEN contract IN (
                          '0x94b008aa00579c1307b0ef2c499ad98a8ce58e58',
                          '0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9',
                          '0xfde4c96c8593536e31f229ea8f37b2ada2699bb2') THEN 'USDT'
                      ELSE 'USDC'
                  END
             FROM payment_request AS asked
            WHERE (asked.org_id, asked.invoice_id) = (invoice.org_id, invoice.invoice_id)
            ORDER BY position LIMIT 1)),
       price_amount = (detail -> 'price' ->> 'amount')::numeric
  FROM invoice
 WHERE (invoice.org_id, invoice.invoice_id) = (invoice_search.org_id, invoice_search.invoice_id);

ALTER TABLE invoice_search
    ALTER COLUMN price_currency SET NOT NULL,
    ALTER COLUMN price_amount SET NOT NULL;

CREATE INDEX invoice_search_amount
    ON invoice_search (org_id, price_currency, price_amount, invoice_id);
