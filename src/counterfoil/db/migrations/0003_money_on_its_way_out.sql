-- Money on its way out: approvals given again, sweeps tried again, nonces whose signature got lost.

ALTER TABLE move
    -- How often the payment was approved again, and the dead nonce that this replaces.
    ADD COLUMN generation     smallint NOT NULL DEFAULT 0,
    ADD COLUMN replaces_nonce bigint,
    -- How often it was made and came to nothing, and how many at most may share its transaction.
    ADD COLUMN failures       smallint NOT NULL DEFAULT 0,
    ADD COLUMN batch_limit    smallint CHECK (batch_limit > 0);

ALTER TABLE ingest.chain_tx
    -- It does nothing but use its nonce up.
    ADD COLUMN cancels       boolean NOT NULL DEFAULT false,
    -- The finalized block at which its nonce was consumed and none of its siblings was mined.
    ADD COLUMN gone_at_block bigint,
    -- Why it was not replaced by a dearer one, and when to try that again.
    ADD COLUMN bump_error    text,
    ADD COLUMN bump_after    timestamptz;

-- Nonces that the signer signed for movements, as it says itself, while nothing was kept of it.
CREATE TABLE ingest.lost_signature (
    chain        text COLLATE "C" NOT NULL,
    wallet       text COLLATE "C" NOT NULL,
    nonce        bigint NOT NULL,
    org_id       bigint NOT NULL,
    move_ids     uuid[] NOT NULL,
    tx_hashes    text[] NOT NULL,
    found_at     timestamptz NOT NULL,
    -- kept: given to the same movements again. cancelled: used up by us. gone: used up otherwise.
    -- landed: what got lost was mined all the same.
    ended        text COLLATE "C" CHECK (ended IN ('kept', 'cancelled', 'gone', 'landed')),
    ended_at     timestamptz,
    block_number bigint,
    PRIMARY KEY (chain, wallet, nonce),
    CHECK ((ended IS NULL) = (ended_at IS NULL))
);
CREATE INDEX lost_signature_open ON ingest.lost_signature (chain) WHERE ended IS NULL;
CREATE INDEX lost_signature_by_move ON ingest.lost_signature USING gin (move_ids);
