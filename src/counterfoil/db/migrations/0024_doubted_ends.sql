-- Why the end that one node tells of a transaction of ours is not believed yet.
ALTER TABLE ingest.chain_tx ADD COLUMN doubt text;
