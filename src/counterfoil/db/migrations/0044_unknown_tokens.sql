-- Tokens of contracts that are not registered here and came to an invoice's address: noted, and nothing else.
CREATE TABLE unknown_token (
    org_id       bigint NOT NULL,
    invoice_id   uuid NOT NULL,
    chain        text COLLATE "C" NOT NULL,
    contract     text COLLATE "C" NOT NULL,
    tx_hash      text COLLATE "C" NOT NULL,
    from_address text COLLATE "C" NOT NULL,
    -- As its log says it; what a whole one of it is only its contract knows.
    amount_units numeric(78, 0) NOT NULL CHECK (amount_units > 0),
    block_number bigint NOT NULL,
    noted_at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, invoice_id, chain, contract),
    FOREIGN KEY (org_id, invoice_id) REFERENCES invoice
);

-- Up to which final block they were looked for.
CREATE TABLE ingest.unknown_token_cursor (
    chain        text COLLATE "C" PRIMARY KEY,
    block_number bigint NOT NULL
);
