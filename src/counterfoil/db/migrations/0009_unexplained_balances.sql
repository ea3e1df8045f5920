-- Addresses that hold more than the books explain, while they do.

CREATE TABLE ingest.unexplained_balance (
    chain        text COLLATE "C" NOT NULL,
    address      text COLLATE "C" NOT NULL,
    contract     text COLLATE "C" NOT NULL,
    org_id       bigint NOT NULL,
    invoice_id   uuid NOT NULL,
    known_units  numeric(78, 0) NOT NULL,
    chain_units  numeric(78, 0) NOT NULL,
    block_number bigint NOT NULL,
    since        timestamptz NOT NULL,
    PRIMARY KEY (chain, address, contract)
);

CREATE INDEX unexplained_balance_by_invoice ON ingest.unexplained_balance (org_id, invoice_id);
