-- Grams are kept as those of their organisation, so that a small one's search does not read through
-- what its large neighbour has under the same ones. The upkeep worker writes former ones anew, some at
-- a time; until then they are found as they were.
ALTER TABLE invoice_search ADD COLUMN grams_of_org boolean NOT NULL DEFAULT false;

DROP INDEX invoice_unsearched;
CREATE INDEX invoice_former_grams ON invoice_search (org_id, invoice_id) WHERE NOT grams_of_org;
