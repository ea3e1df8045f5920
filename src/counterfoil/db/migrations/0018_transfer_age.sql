-- What came in since a day, for the charts.
CREATE INDEX transfer_by_age ON transfer (org_id, block_at);
