-- Who had a role that waits begin again: none of them agrees to it.
ALTER TABLE role_grant
    ADD COLUMN renewed_by text[] COLLATE "C" NOT NULL DEFAULT '{}';
