-- What each token was seen to run, once for each version of it. The first version that was ever
-- seen is what it was when we came; each later one is a change.
CREATE TABLE ingest.token_code (
    chain       text COLLATE "C" NOT NULL,
    contract    text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    -- The contracts that it hands its calls to, where there are any.
    behind      text[] NOT NULL,
    is_first    boolean NOT NULL,
    seen_at     timestamptz NOT NULL,
    PRIMARY KEY (chain, contract, fingerprint)
);
CREATE UNIQUE INDEX token_code_first ON ingest.token_code (chain, contract) WHERE is_first;

-- Who of an organisation lets its money go on under a changed token.
CREATE TABLE token_code_accepted (
    org_id      bigint NOT NULL REFERENCES org,
    chain       text COLLATE "C" NOT NULL,
    contract    text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    accepted_by text COLLATE "C" NOT NULL,
    reason      text NOT NULL,
    accepted_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, chain, contract, fingerprint)
);
