-- Rollups of the OP Stack take a fee for data beside gas; this much was reckoned for it.
ALTER TABLE ingest.chain_tx ADD COLUMN data_fee_wei numeric(78, 0) NOT NULL DEFAULT 0
    CHECK (data_fee_wei >= 0 AND data_fee_wei < 1e60);
