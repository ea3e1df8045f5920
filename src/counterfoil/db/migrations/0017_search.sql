-- What an invoice is found by changes with its text only, but each new version of a row enters all
-- indexes of its table anew: beside the invoice, a change of its status leaves the grams alone.
DROP INDEX invoice_search, invoice_unsearchable;
CREATE TABLE invoice_search (
    org_id     bigint NOT NULL,
    invoice_id uuid NOT NULL,
    -- What core/search.py cuts the text into; NULL until the upkeep worker has come by.
    grams      integer[],
    PRIMARY KEY (org_id, invoice_id),
    FOREIGN KEY (org_id, invoice_id) REFERENCES invoice
);

INSERT INTO invoice_search (org_id, invoice_id, grams)
SELECT org_id, invoice_id, search_grams FROM invoice;

-- A small pending list keeps every single insert quick.
CREATE INDEX invoice_search_grams ON invoice_search USING gin (grams)
    WITH (fastupdate = on, gin_pending_list_limit = 256);
CREATE INDEX invoice_unsearched ON invoice_search (org_id, invoice_id) WHERE grams IS NULL;

ALTER TABLE invoice DROP COLUMN search_grams;
