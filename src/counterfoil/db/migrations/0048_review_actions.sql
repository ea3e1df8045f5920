-- Hits that two people found to mean somebody else, and reports to authorities (specs/aml.md 4.1).

-- Good for one customer, one payer and the very words of one entry: when any of them changes, the
-- hit counts again.
CREATE TABLE screening_disposition (
    org_id         bigint NOT NULL,
    disposition_id uuid NOT NULL,
    -- The customer: the recipient's e-mail address in lower case.
    party          text NOT NULL,
    -- The address that was hit.
    payer          text COLLATE "C" NOT NULL,
    -- SHA-256 of all that the hit said.
    fingerprint    text COLLATE "C" NOT NULL,
    list_code      text COLLATE "C" NOT NULL,
    entry_uid      text COLLATE "C" NOT NULL,
    -- Where it was decided, by whom, and on what evidence.
    invoice_id     uuid NOT NULL,
    people         text[] NOT NULL,
    evidence       uuid[] NOT NULL,
    decided_at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, disposition_id),
    UNIQUE (org_id, party, payer, fingerprint),
    FOREIGN KEY (org_id, invoice_id) REFERENCES invoice
);
CREATE INDEX screening_disposition_of_invoice ON screening_disposition (org_id, invoice_id);
REVOKE UPDATE, DELETE, TRUNCATE ON screening_disposition FROM CURRENT_USER;

-- What was reported to an authority. Whoever is reported must not learn of it, so it stands in no
-- log that others read: a chain of its own for each organisation, sealed like theirs.
CREATE TABLE compliance_report (
    org_id       bigint NOT NULL,
    sequence     integer NOT NULL CHECK (sequence >= 1),
    invoice_id   uuid NOT NULL,
    at           timestamptz NOT NULL,
    operator_uid text COLLATE "C" NOT NULL,
    reference    text NOT NULL,
    reported_on  date NOT NULL,
    request_id   text,
    seal         bytea NOT NULL CHECK (length(seal) = 32),
    PRIMARY KEY (org_id, sequence),
    FOREIGN KEY (org_id, invoice_id) REFERENCES invoice
);
CREATE INDEX compliance_report_of_invoice ON compliance_report (org_id, invoice_id, sequence);
REVOKE UPDATE, DELETE, TRUNCATE ON compliance_report FROM CURRENT_USER;

ALTER TABLE org
    -- How many reports there are; a chain that ends earlier has lost its end.
    ADD COLUMN report_log_length integer NOT NULL DEFAULT 0;
