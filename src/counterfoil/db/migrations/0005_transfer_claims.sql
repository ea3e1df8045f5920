-- Which transaction a payment in native coin came with, where only the balance showed it: what
-- people say, and what the chain says to that.

ALTER TABLE transfer
    ADD COLUMN attached_tx_hash text COLLATE "C",
    ADD COLUMN attached_sender  text COLLATE "C",
    ADD COLUMN attached_to      text COLLATE "C",
    ADD CHECK ((attached_tx_hash IS NULL) = (attached_sender IS NULL));

CREATE TABLE transfer_claim (
    org_id        bigint NOT NULL,
    claim_id      uuid NOT NULL,
    invoice_id    uuid NOT NULL,
    chain         text COLLATE "C" NOT NULL,
    tx_hash       text COLLATE "C" NOT NULL,
    log_index     integer NOT NULL,
    named_tx_hash text COLLATE "C" NOT NULL,
    named_by      text NOT NULL,
    named_at      timestamptz NOT NULL,
    status        text COLLATE "C" NOT NULL CHECK (status IN ('open', 'confirmed', 'refused')),
    finding       text,
    checked_at    timestamptz,
    PRIMARY KEY (org_id, claim_id),
    FOREIGN KEY (org_id, chain, tx_hash, log_index) REFERENCES transfer
);
CREATE UNIQUE INDEX transfer_claim_open
    ON transfer_claim (org_id, chain, tx_hash, log_index) WHERE status = 'open';
CREATE INDEX transfer_claim_to_check ON transfer_claim (chain, named_at) WHERE status = 'open';
CREATE INDEX transfer_claim_of_invoice ON transfer_claim (org_id, invoice_id);
