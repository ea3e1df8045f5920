-- The invoices of one program, for keys that are bound to it.
CREATE INDEX invoice_by_client
    ON invoice (org_id, (detail ->> 'client_id'), created_at DESC, invoice_id DESC);
