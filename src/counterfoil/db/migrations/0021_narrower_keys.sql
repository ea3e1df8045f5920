-- Keys that may do less than their member, and when each was last used.
ALTER TABLE api_key
    -- Permissions; NULL for all that the member has.
    ADD COLUMN scopes text[] CHECK (cardinality(scopes) > 0),
    ADD COLUMN last_used_at timestamptz;
CREATE INDEX api_key_member ON api_key (org_id, member_id);
