-- Payments in a chain's own coin: where to look for them, what left again, and which transaction
-- a person says that one of them came with.

-- Invoices that ask for native coin are few and are looked at with every block.
CREATE INDEX payment_request_native ON payment_request (org_id, invoice_id) WHERE contract = '';

-- Native coin that our factories swept out of deposit addresses, as the chain's final blocks say.
CREATE TABLE ingest.native_outflow (
    chain        text COLLATE "C" NOT NULL,
    tx_hash      text COLLATE "C" NOT NULL,
    log_index    integer NOT NULL,
    address      text COLLATE "C" NOT NULL,
    amount_units numeric(78, 0) NOT NULL CHECK (amount_units > 0 AND amount_units < 1e60),
    block_number bigint NOT NULL,
    PRIMARY KEY (chain, tx_hash, log_index)
);
CREATE INDEX native_outflow_by_address ON ingest.native_outflow (chain, address);
