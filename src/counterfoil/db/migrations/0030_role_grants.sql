-- Roles that somebody asked for and that do not hold yet: what they let a member decide waits for a
-- second administrator, or for time.
CREATE TABLE role_grant (
    org_id    bigint NOT NULL,
    member_id uuid NOT NULL,
    role      text COLLATE "C" NOT NULL,
    asked_by  text COLLATE "C" NOT NULL,
    asked_at  timestamptz NOT NULL,
    holds_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, member_id, role)
);
CREATE INDEX ON role_grant (holds_at);
