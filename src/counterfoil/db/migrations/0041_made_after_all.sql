-- Nonces that were held for dead and have paid after all: few, and asked for by every worker.
CREATE INDEX lost_signature_landed ON ingest.lost_signature (chain) WHERE ended = 'landed';
