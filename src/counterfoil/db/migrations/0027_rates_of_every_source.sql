-- Every source's answer is kept, so that several can be compared. The preferred source's rank is 0.
ALTER TABLE rate_snapshot ADD COLUMN rank smallint NOT NULL DEFAULT 0 CHECK (rank >= 0);
