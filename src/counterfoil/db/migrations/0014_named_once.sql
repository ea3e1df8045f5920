-- A transaction that somebody names for a payment in native coin is named once.
CREATE UNIQUE INDEX transfer_attached ON transfer (org_id, chain, attached_tx_hash)
    WHERE attached_tx_hash IS NOT NULL;

-- The newest fuelling of a wallet, asked for with every look at its gas money.
CREATE INDEX move_fuel ON move (org_id, chain, destination, created_at DESC, move_id DESC)
    WHERE purpose = 'fuel';
