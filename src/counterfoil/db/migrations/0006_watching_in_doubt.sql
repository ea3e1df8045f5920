-- Why a chain stands still, while it does; and payments that no two of its nodes agree on yet.

ALTER TABLE ingest.chain_cursor
    ADD COLUMN halted_reason text,
    ADD COLUMN halted_at timestamptz;

CREATE TABLE ingest.doubted_transfer (
    chain        text COLLATE "C" NOT NULL,
    tx_hash      text COLLATE "C" NOT NULL,
    log_index    integer NOT NULL,
    org_id       bigint NOT NULL,
    invoice_id   uuid NOT NULL,
    contract     text COLLATE "C" NOT NULL,
    amount_units numeric(78, 0) NOT NULL,
    block_number bigint NOT NULL,
    reason       text NOT NULL,
    since        timestamptz NOT NULL,
    PRIMARY KEY (chain, tx_hash, log_index)
);
