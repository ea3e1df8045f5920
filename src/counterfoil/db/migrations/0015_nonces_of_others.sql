-- Since when every node says that a nonce was consumed by something else than we signed with it.
CREATE TABLE ingest.gone_nonce (
    chain   text COLLATE "C" NOT NULL,
    wallet  text COLLATE "C" NOT NULL,
    nonce   bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (chain, wallet, nonce)
);
