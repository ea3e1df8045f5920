-- What a token kept for itself of what a movement sent: it left, and arrived nowhere of ours or of
-- the receiver's. Zero for all that moved before.
ALTER TABLE move ADD COLUMN token_fee_units numeric(78, 0) NOT NULL DEFAULT 0
    CHECK (token_fee_units >= 0);
