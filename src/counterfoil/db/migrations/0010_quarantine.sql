-- Money goes to the hold wallet, and leaves it again: to the pool, or back to who sent it.
ALTER TABLE move DROP CONSTRAINT move_purpose_check;
ALTER TABLE move ADD CONSTRAINT move_purpose_check CHECK (purpose IN (
    'sweep', 'quarantine', 'restore', 'payout', 'refund', 'partial_refund', 'fuel', 'deploy'));
ALTER TABLE move ADD COLUMN from_hold boolean NOT NULL DEFAULT false;
CREATE INDEX move_from_hold ON move (org_id, chain)
    WHERE from_hold AND status IN ('waiting', 'ready', 'signed');

-- The hold wallet signs too.
ALTER TABLE ingest.wallet DROP CONSTRAINT wallet_role_check;
ALTER TABLE ingest.wallet ADD CONSTRAINT wallet_role_check
    CHECK (role IN ('operator', 'pool', 'hold', 'gas', 'child'));
