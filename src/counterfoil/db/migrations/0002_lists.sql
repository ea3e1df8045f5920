-- Lists of a million invoices: found by what is in them, paged without reading what is skipped,
-- counted without counting.

ALTER TABLE invoice
    ADD COLUMN archived boolean NOT NULL DEFAULT false,
    -- What core/search.py cuts the text into; NULL until the upkeep worker has come by.
    ADD COLUMN search_grams integer[];

UPDATE invoice SET archived = true WHERE detail ->> 'archived_at' IS NOT NULL;

-- What a page is chosen by stands in the index, so skipped rows are never fetched.
CREATE INDEX invoice_by_age ON invoice (org_id, created_at DESC, invoice_id DESC)
    INCLUDE (archived, settlement);
DROP INDEX invoice_newest;
CREATE INDEX invoice_by_standing
    ON invoice (org_id, status, coalesce(context, ''), created_at DESC, invoice_id DESC)
    INCLUDE (archived, settlement);
DROP INDEX invoice_by_status;

-- A small pending list keeps every single insert quick.
CREATE INDEX invoice_search ON invoice USING gin (search_grams)
    WITH (fastupdate = on, gin_pending_list_limit = 256);

CREATE INDEX invoice_unsearchable ON invoice (org_id, invoice_id) WHERE search_grams IS NULL;

-- How many invoices stand where, as a sum of changes: whoever changes an invoice adds rows and
-- waits for nobody; a worker folds them together.
CREATE TABLE invoice_count (
    org_id     bigint NOT NULL REFERENCES org,
    status     text COLLATE "C" NOT NULL,
    context    text COLLATE "C",
    settlement text NOT NULL,
    archived   boolean NOT NULL,
    count      bigint NOT NULL
);
CREATE INDEX invoice_count_of_org ON invoice_count (org_id);

INSERT INTO invoice_count (org_id, status, context, settlement, archived, count)
SELECT org_id, status, context, settlement, archived, count(*)
  FROM invoice
 GROUP BY org_id, status, context, settlement, archived;

-- Keys are forgotten by age.
CREATE INDEX idempotency_key_by_age ON idempotency_key (created_at);
