-- People at the pages: sessions, second factors, and how often somebody failed to sign in.

ALTER TABLE person
    ADD COLUMN language text CHECK (language IN ('en', 'zh-Hant-TW')),
    ADD COLUMN theme text NOT NULL DEFAULT 'auto' CHECK (theme IN ('auto', 'light', 'dark')),
    ADD COLUMN password_changed_at timestamptz,
    -- Sealed under a key that the database does not have.
    ADD COLUMN totp_sealed bytea,
    -- The newest thirty-second step whose code was used: a code works once.
    ADD COLUMN totp_step bigint;

CREATE INDEX person_by_email ON person (lower(email));

CREATE TABLE person_session (
    session_id uuid NOT NULL PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    person_id uuid NOT NULL REFERENCES person,
    -- The organisation that is looked at; it must be one of the person's.
    org_id bigint NOT NULL REFERENCES org,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- Until a second factor was shown, where the person has one, nothing else is possible.
    factor_due boolean NOT NULL,
    confirmed_at timestamptz,
    revoked_at timestamptz,
    agent text NOT NULL,
    address text NOT NULL
);
CREATE INDEX person_session_person ON person_session (person_id, created_at);

CREATE TABLE recovery_code (
    person_id uuid NOT NULL REFERENCES person,
    code_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (person_id, code_hash)
);

CREATE TABLE passkey (
    credential_id bytea NOT NULL PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES person,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    label text NOT NULL,
    created_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX passkey_person ON passkey (person_id);

-- One row for each failed attempt to sign in or to confirm; swept once it no longer counts.
CREATE TABLE failed_attempt (
    attempt_id uuid NOT NULL PRIMARY KEY,
    subject text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX failed_attempt_subject ON failed_attempt (subject, at);
