-- The surplus of a sign-off that waits for a second person; approving it signs for the invoice.
ALTER TABLE refund ADD COLUMN with_sign_off boolean NOT NULL DEFAULT false;
