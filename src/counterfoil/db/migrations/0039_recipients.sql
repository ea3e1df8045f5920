-- Whom an organisation invoices, as its people keep them: offered when an invoice is written.
CREATE TABLE recipient (
    org_id         bigint NOT NULL,
    recipient_id   uuid NOT NULL,
    name           text NOT NULL,
    email          text COLLATE "C" NOT NULL,
    address        text NOT NULL,
    tax_number     text NOT NULL,
    -- Names that are drawn alike have the same one (core/lookalike.py).
    skeleton       text COLLATE "C" NOT NULL,
    created_at     timestamptz NOT NULL,
    deactivated_at timestamptz,
    PRIMARY KEY (org_id, recipient_id),
    UNIQUE (org_id, name, email)
);
CREATE INDEX recipient_by_skeleton ON recipient (org_id, skeleton);
