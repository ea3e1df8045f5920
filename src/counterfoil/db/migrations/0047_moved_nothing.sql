-- A transaction may succeed while its token moves nothing: nothing was paid with it, as if it had reverted.
ALTER TABLE ingest.chain_tx DROP CONSTRAINT chain_tx_status_check;
ALTER TABLE ingest.chain_tx ADD CONSTRAINT chain_tx_status_check
    CHECK (status IN ('signed', 'sent', 'final', 'reverted', 'replaced', 'empty'));
-- Whether every node said what became of a movement that did not do what it was to. What moved
-- before nobody was asked about.
ALTER TABLE move ADD COLUMN vouched boolean NOT NULL DEFAULT false;
