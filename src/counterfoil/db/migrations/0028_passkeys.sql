-- Passkeys are in use: each has a name for addresses, and one that may have been copied is blocked.

ALTER TABLE passkey
    ADD COLUMN passkey_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    ADD COLUMN blocked_at timestamptz;

-- Challenges that were answered: each is good once. Swept when they would be too old anyway.
CREATE TABLE answered_challenge (
    challenge_hash bytea NOT NULL PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX answered_challenge_expiry ON answered_challenge (expires_at);
