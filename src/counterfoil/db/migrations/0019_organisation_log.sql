-- What was done to an organisation itself: its members, keys and rules. Sealed, append-only.
ALTER TABLE org
    -- How many entries there are; a chain that ends earlier has lost its end.
    ADD COLUMN log_length integer NOT NULL DEFAULT 0;

CREATE TABLE org_log (
    org_id       bigint NOT NULL REFERENCES org,
    sequence     integer NOT NULL CHECK (sequence >= 1),
    at           timestamptz NOT NULL,
    operator_uid text COLLATE "C" NOT NULL,
    event        text COLLATE "C" NOT NULL,
    subject      text NOT NULL,
    metadata     text NOT NULL,
    request_id   text,
    seal         bytea NOT NULL CHECK (length(seal) = 32),
    PRIMARY KEY (org_id, sequence)
);
REVOKE UPDATE, DELETE, TRUNCATE ON org_log FROM CURRENT_USER;

-- A link with which a new person chooses a password; only its hash is kept.
CREATE TABLE invitation (
    token_hash bytea NOT NULL PRIMARY KEY,
    org_id     bigint NOT NULL,
    member_id  uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    FOREIGN KEY (org_id, member_id) REFERENCES member
);
CREATE INDEX invitation_member ON invitation (org_id, member_id);
