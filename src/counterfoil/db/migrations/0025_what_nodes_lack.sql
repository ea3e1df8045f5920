-- What none of a chain's nodes tells, while that keeps something from being done.
ALTER TABLE ingest.chain_cursor ADD COLUMN lacking text;
