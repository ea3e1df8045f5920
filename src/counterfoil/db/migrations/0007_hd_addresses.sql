-- Deposit addresses that have keys of their own, beside those of the factory.

CREATE TABLE hd_address (
    org_id  bigint NOT NULL,
    family  text COLLATE "C" NOT NULL,
    number  bigint NOT NULL,
    address text COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, family, number),
    FOREIGN KEY (org_id, number) REFERENCES deposit_address
);

-- Which of an invoice's addresses: where one was paid to, and which one a sweep empties.
ALTER TABLE ingest.address_owner ADD COLUMN deposit_mode text COLLATE "C" NOT NULL
    DEFAULT 'factory' CHECK (deposit_mode IN ('factory', 'hd'));
ALTER TABLE transfer ADD COLUMN deposit_mode text COLLATE "C" NOT NULL
    DEFAULT 'factory' CHECK (deposit_mode IN ('factory', 'hd'));
ALTER TABLE move ADD COLUMN deposit_mode text COLLATE "C" NOT NULL
    DEFAULT 'factory' CHECK (deposit_mode IN ('factory', 'hd'));
CREATE INDEX move_by_child ON move (chain, created_at)
    WHERE status = 'ready' AND deposit_mode = 'hd';

-- A child key signs too, and an organisation has many of them.
ALTER TABLE ingest.wallet DROP CONSTRAINT wallet_role_check;
ALTER TABLE ingest.wallet ADD CONSTRAINT wallet_role_check
    CHECK (role IN ('operator', 'pool', 'gas', 'child'));
ALTER TABLE ingest.wallet DROP CONSTRAINT wallet_chain_org_id_role_key;
CREATE UNIQUE INDEX wallet_by_role ON ingest.wallet (chain, org_id, role) WHERE role <> 'child';
