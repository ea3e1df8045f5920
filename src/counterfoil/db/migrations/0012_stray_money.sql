-- What strays in beside a payment is screened by itself, as it goes back by itself.
ALTER TABLE screening_run ADD COLUMN is_stray boolean NOT NULL DEFAULT false;
