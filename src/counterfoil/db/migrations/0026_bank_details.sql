-- What a customer needs to pay into a bank account. Rows from before have none of it and stay good.
ALTER TABLE bank_account
    ADD COLUMN holder         text NOT NULL DEFAULT '',
    ADD COLUMN bank_name      text NOT NULL DEFAULT '',
    ADD COLUMN branch         text NOT NULL DEFAULT '',
    ADD COLUMN bank_code      text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN bic            text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN account_number text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN reference      text NOT NULL DEFAULT '',
    ADD COLUMN added_by       text COLLATE "C",
    ADD COLUMN approved_by    text COLLATE "C",
    ADD COLUMN approved_at    timestamptz,
    ADD COLUMN disabled_at    timestamptz,
    ADD CHECK (account_number = '' OR (holder <> '' AND bank_name <> ''));
UPDATE bank_account SET approved_at = created_at;

-- Never changed into another account: invoices and people's approvals name it.
REVOKE UPDATE, DELETE, TRUNCATE ON bank_account FROM CURRENT_USER;
GRANT UPDATE (approved_by, approved_at, disabled_at) ON bank_account TO CURRENT_USER;
