-- What an address holds beyond the books and a person has looked into: from then on it is known.
CREATE TABLE ingest.dismissed_balance (
    dismissal_id uuid PRIMARY KEY,
    chain        text COLLATE "C" NOT NULL,
    address      text COLLATE "C" NOT NULL,
    contract     text COLLATE "C" NOT NULL,
    org_id       bigint NOT NULL,
    invoice_id   uuid NOT NULL,
    amount_units numeric(78, 0) NOT NULL CHECK (amount_units > 0 AND amount_units < 1e60),
    block_number bigint NOT NULL,
    dismissed_by text NOT NULL,
    reason       text NOT NULL,
    dismissed_at timestamptz NOT NULL
);
CREATE INDEX dismissed_balance_by_address ON ingest.dismissed_balance (chain, address);
