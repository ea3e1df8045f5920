-- A bank account is good only after the time of waiting, as a payout address is. Those that were
-- approved before stay good.
ALTER TABLE bank_account ADD COLUMN usable_at timestamptz;
GRANT UPDATE (usable_at) ON bank_account TO CURRENT_USER;
UPDATE bank_account SET usable_at = approved_at;
