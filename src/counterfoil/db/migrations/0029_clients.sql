-- The integrations of an organisation, each with a client id of its own (X-Client-ID).
CREATE TABLE client (
    org_id      bigint NOT NULL,
    client_id   text COLLATE "C" NOT NULL,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz,
    PRIMARY KEY (org_id, client_id)
);

INSERT INTO client (org_id, client_id, name, created_at)
SELECT org_id, client_id, client_id, created_at FROM org;

-- The only client id that a key may be used with; NULL for any of the organisation's.
ALTER TABLE api_key ADD COLUMN client_id text COLLATE "C";
