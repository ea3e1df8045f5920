-- The main job: organisations, invoices, money, proof.
--
-- Rules kept throughout (specs/reliability.md 4.2): org_id first in every tenant key; ids made by
-- the application; no triggers, NOTIFY, advisory locks or enum types; global uniqueness only in
-- the ingest schema. Amounts are whole base units. Identifiers sort by bytes (COLLATE "C").

CREATE SCHEMA ingest;

-- organisations and the people in them -------------------------------------------------------

CREATE TABLE org (
    org_id          bigint PRIMARY KEY,
    name            text NOT NULL,
    client_id       text COLLATE "C" NOT NULL UNIQUE,
    factory_address text COLLATE "C" NOT NULL,
    operator_address text COLLATE "C" NOT NULL,
    pool_address    text COLLATE "C" NOT NULL,
    hold_address    text COLLATE "C" NOT NULL,
    gas_address     text COLLATE "C" NOT NULL,
    policy          jsonb NOT NULL,
    callback_secret_version integer NOT NULL DEFAULT 1,
    next_number     bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL
);

CREATE TABLE person (
    person_id     uuid PRIMARY KEY,
    email         text COLLATE "C" NOT NULL UNIQUE,
    name          text NOT NULL,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL
);

CREATE TABLE member (
    org_id      bigint NOT NULL REFERENCES org,
    member_id   uuid NOT NULL,
    person_id   uuid NOT NULL REFERENCES person,
    roles       text[] NOT NULL,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz,
    PRIMARY KEY (org_id, member_id),
    UNIQUE (org_id, person_id)
);

-- Looked up before the organisation is known, hence keyed by the key's own public part.
CREATE TABLE api_key (
    key_id       text COLLATE "C" PRIMARY KEY,
    secret_hash  bytea NOT NULL,
    org_id       bigint NOT NULL,
    member_id    uuid NOT NULL,
    label        text NOT NULL,
    auto_approve boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    FOREIGN KEY (org_id, member_id) REFERENCES member
);

CREATE TABLE bank_account (
    org_id          bigint NOT NULL REFERENCES org,
    bank_account_id bigint NOT NULL,
    label           text NOT NULL,
    currency        text NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (org_id, bank_account_id)
);

CREATE TABLE file (
    org_id       bigint NOT NULL REFERENCES org,
    file_id      uuid NOT NULL,
    name         text NOT NULL,
    content_type text NOT NULL CHECK (content_type IN ('application/pdf', 'image/png', 'image/jpeg')),
    size_bytes   bigint NOT NULL CHECK (size_bytes > 0),
    sha256       bytea NOT NULL,
    content      bytea NOT NULL,
    uploaded_by  uuid NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (org_id, file_id)
);

CREATE TABLE idempotency_key (
    org_id       bigint NOT NULL,
    member_id    uuid NOT NULL,
    key          text COLLATE "C" NOT NULL,
    fingerprint  bytea NOT NULL,
    status_code  integer,
    body         bytea,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (org_id, member_id, key)
);

-- deposit addresses, and the invoice numbers that come with them ------------------------------

CREATE TABLE deposit_address (
    org_id     bigint NOT NULL REFERENCES org,
    number     bigint NOT NULL,
    family     text NOT NULL,
    address    text COLLATE "C" NOT NULL,
    invoice_id uuid,
    PRIMARY KEY (org_id, number)
);
CREATE INDEX deposit_address_free ON deposit_address (org_id, number) WHERE invoice_id IS NULL;

-- invoices -----------------------------------------------------------------------------------

CREATE TABLE invoice (
    org_id           bigint NOT NULL REFERENCES org,
    invoice_id       uuid NOT NULL,
    number           bigint NOT NULL,
    dialect          text NOT NULL,
    status           text COLLATE "C" NOT NULL,
    context          text COLLATE "C",
    settlement       text NOT NULL CHECK (settlement IN ('crypto', 'fiat')),
    recipient_email  text COLLATE "C" NOT NULL,
    group_key        text COLLATE "C",
    search_text      text NOT NULL,
    deposit_address  text COLLATE "C" NOT NULL,
    deadline_at      timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    version          integer NOT NULL CHECK (version >= 1),
    detail           jsonb NOT NULL,
    PRIMARY KEY (org_id, invoice_id),
    UNIQUE (org_id, number)
);
CREATE INDEX invoice_newest ON invoice (org_id, created_at DESC, invoice_id DESC);
CREATE INDEX invoice_by_status ON invoice (org_id, status, created_at DESC, invoice_id DESC);
CREATE INDEX invoice_by_recipient ON invoice (org_id, recipient_email, created_at DESC);
CREATE INDEX invoice_due ON invoice (deadline_at, org_id, invoice_id)
    WHERE status IN ('awaiting_payment', 'expired');

CREATE TABLE payment_request (
    org_id     bigint NOT NULL,
    invoice_id uuid NOT NULL,
    position   smallint NOT NULL,
    chain      text COLLATE "C" NOT NULL,
    contract   text COLLATE "C" NOT NULL,
    due_units  numeric(78, 0) NOT NULL CHECK (due_units > 0 AND due_units < 1e60),
    quote      jsonb,
    PRIMARY KEY (org_id, invoice_id, position),
    FOREIGN KEY (org_id, invoice_id) REFERENCES invoice
);

-- One row per event that changed an invoice; sealed, append-only.
CREATE TABLE invoice_log (
    org_id       bigint NOT NULL,
    invoice_id   uuid NOT NULL,
    sequence     integer NOT NULL CHECK (sequence >= 1),
    from_status  text COLLATE "C",
    to_status    text COLLATE "C" NOT NULL,
    event        text COLLATE "C" NOT NULL,
    operator_uid text COLLATE "C" NOT NULL,
    reason       text NOT NULL,
    metadata     text NOT NULL,
    request_id   text,
    at           timestamptz NOT NULL,
    seal         bytea NOT NULL CHECK (length(seal) = 32),
    PRIMARY KEY (org_id, invoice_id, sequence),
    FOREIGN KEY (org_id, invoice_id) REFERENCES invoice
);

-- what came in -------------------------------------------------------------------------------

CREATE TABLE transfer (
    org_id        bigint NOT NULL,
    chain         text COLLATE "C" NOT NULL,
    tx_hash       text COLLATE "C" NOT NULL,
    log_index     integer NOT NULL,
    invoice_id    uuid NOT NULL,
    contract      text COLLATE "C" NOT NULL,
    from_address  text COLLATE "C" NOT NULL,
    amount_units  numeric(78, 0) NOT NULL CHECK (amount_units > 0 AND amount_units < 1e60),
    block_number  bigint NOT NULL,
    block_hash    text COLLATE "C" NOT NULL,
    block_at      timestamptz NOT NULL,
    first_seen_at timestamptz NOT NULL,
    depth         smallint NOT NULL CHECK (depth BETWEEN 0 AND 3),
    PRIMARY KEY (org_id, chain, tx_hash, log_index),
    FOREIGN KEY (org_id, invoice_id) REFERENCES invoice
);
CREATE INDEX transfer_by_invoice ON transfer (org_id, invoice_id);
CREATE INDEX transfer_unsettled ON transfer (chain, block_number) WHERE depth IN (1, 2);

-- what we send out ---------------------------------------------------------------------------

-- One row per movement of money; the intent. Its bytes on chain are in ingest.chain_tx.
CREATE TABLE move (
    org_id       bigint NOT NULL REFERENCES org,
    move_id      uuid NOT NULL,
    purpose      text COLLATE "C" NOT NULL
                 CHECK (purpose IN ('sweep', 'payout', 'refund', 'partial_refund', 'fuel', 'deploy')),
    source_id    text COLLATE "C" NOT NULL,
    leg          smallint NOT NULL,
    invoice_id   uuid,
    chain        text COLLATE "C" NOT NULL,
    contract     text COLLATE "C" NOT NULL,
    destination  text COLLATE "C" NOT NULL,
    amount_units numeric(78, 0) NOT NULL CHECK (amount_units >= 0 AND amount_units < 1e60),
    moved_units  numeric(78, 0) CHECK (moved_units >= 0 AND moved_units < 1e60),
    status       text COLLATE "C" NOT NULL
                 CHECK (status IN ('waiting', 'ready', 'signed', 'final', 'failed', 'parked')),
    park_reason  text,
    -- Why a ready move waits, and until when nobody need look at it again.
    wait_reason  text,
    wait_until   timestamptz,
    wallet       text COLLATE "C",
    nonce        bigint,
    tx_hash      text COLLATE "C",
    approved_by  text,
    approved_at  timestamptz,
    warrant      text,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    final_at     timestamptz,
    PRIMARY KEY (org_id, move_id),
    UNIQUE (org_id, purpose, source_id, leg),
    CHECK ((wait_reason IS NULL) = (wait_until IS NULL))
);
CREATE INDEX move_by_invoice ON move (org_id, invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX move_open ON move (chain, status, created_at) WHERE status IN ('ready', 'signed');
CREATE INDEX move_by_nonce ON move (chain, wallet, nonce) WHERE nonce IS NOT NULL;
CREATE INDEX move_parked ON move (updated_at) WHERE status = 'parked';

-- What people did to a move that stood still, and why; only ever added to.
CREATE TABLE move_note (
    org_id  bigint NOT NULL,
    note_id uuid NOT NULL,
    move_id uuid NOT NULL,
    at      timestamptz NOT NULL,
    by      text NOT NULL,
    what    text NOT NULL,
    reason  text NOT NULL,
    PRIMARY KEY (org_id, note_id),
    FOREIGN KEY (org_id, move_id) REFERENCES move
);
CREATE INDEX move_note_by_move ON move_note (org_id, move_id);

-- double entry: every row names both sides, so no row can be unbalanced -------------------------

CREATE TABLE journal_entry (
    org_id     bigint NOT NULL REFERENCES org,
    cause      text COLLATE "C" NOT NULL,
    invoice_id uuid,
    at         timestamptz NOT NULL,
    block_number bigint NOT NULL,
    PRIMARY KEY (org_id, cause)
);

CREATE TABLE posting (
    org_id       bigint NOT NULL,
    cause        text COLLATE "C" NOT NULL,
    position     smallint NOT NULL,
    invoice_id   uuid,
    source       text COLLATE "C" NOT NULL,
    destination  text COLLATE "C" NOT NULL,
    chain        text COLLATE "C" NOT NULL,
    contract     text COLLATE "C" NOT NULL,
    amount_units numeric(78, 0) NOT NULL CHECK (amount_units > 0 AND amount_units < 1e60),
    CHECK (source <> destination),
    PRIMARY KEY (org_id, cause, position),
    FOREIGN KEY (org_id, cause) REFERENCES journal_entry
);
CREATE INDEX posting_by_invoice ON posting (org_id, invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX posting_out ON posting (org_id, source, chain, contract) INCLUDE (amount_units);
CREATE INDEX posting_in ON posting (org_id, destination, chain, contract) INCLUDE (amount_units);

-- what has to be done, and what has to be told ----------------------------------------------------

CREATE TABLE effect (
    org_id      bigint NOT NULL,
    effect_id   uuid NOT NULL,
    kind        text COLLATE "C" NOT NULL CHECK (kind IN ('screen', 'tell')),
    invoice_id  uuid NOT NULL,
    due_at      timestamptz NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    lease_token uuid,
    last_error  text,
    done_at     timestamptz,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, effect_id)
);
CREATE INDEX effect_due ON effect (kind, due_at) WHERE done_at IS NULL;
CREATE INDEX effect_of_invoice ON effect (org_id, invoice_id) WHERE done_at IS NULL;

CREATE TABLE outbox (
    org_id       bigint NOT NULL,
    event_id     uuid NOT NULL,
    invoice_id   uuid NOT NULL,
    sequence     integer NOT NULL,
    dialect      text COLLATE "C" NOT NULL,
    url          text NOT NULL,
    endpoint     text COLLATE "C" NOT NULL,
    from_status  text COLLATE "C",
    to_status    text COLLATE "C" NOT NULL,
    from_context text COLLATE "C",
    to_context   text COLLATE "C",
    snapshot     jsonb NOT NULL,
    body         bytea,
    status       text COLLATE "C" NOT NULL
                 CHECK (status IN ('pending', 'delivered', 'silent', 'parked')),
    due_at       timestamptz NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    by_hand      boolean NOT NULL DEFAULT false,
    lease_until  timestamptz,
    lease_token  uuid,
    created_at   timestamptz NOT NULL,
    delivered_at timestamptz,
    PRIMARY KEY (org_id, event_id),
    UNIQUE (org_id, invoice_id, sequence)
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE status = 'pending';

CREATE TABLE outbox_attempt (
    org_id      bigint NOT NULL,
    event_id    uuid NOT NULL,
    attempt     integer NOT NULL,
    at          timestamptz NOT NULL,
    status_code integer,
    error       text,
    duration_ms integer NOT NULL,
    PRIMARY KEY (org_id, event_id, attempt),
    FOREIGN KEY (org_id, event_id) REFERENCES outbox
);

-- screening ----------------------------------------------------------------------------------

CREATE TABLE screening_run (
    org_id      bigint NOT NULL,
    run_id      uuid NOT NULL,
    invoice_id  uuid NOT NULL,
    decision    text COLLATE "C" NOT NULL CHECK (decision IN ('clear', 'manual_review', 'aml_hold')),
    total       numeric(5, 2) NOT NULL CHECK (total >= 0 AND total <= 100),
    scores      jsonb NOT NULL,
    record      jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, run_id),
    FOREIGN KEY (org_id, invoice_id) REFERENCES invoice
);
CREATE INDEX screening_run_by_invoice ON screening_run (org_id, invoice_id, created_at);

-- Sanctions lists are public facts, the same for every organisation.
CREATE TABLE screening_list (
    list_code     text COLLATE "C" PRIMARY KEY,
    published_on  date,
    imported_at   timestamptz NOT NULL,
    sha256        text NOT NULL,
    entry_count   integer NOT NULL,
    address_count integer NOT NULL,
    version       integer NOT NULL,
    source        text NOT NULL
);

CREATE TABLE screening_list_address (
    list_code    text COLLATE "C" NOT NULL REFERENCES screening_list,
    family       text COLLATE "C" NOT NULL,
    address      text COLLATE "C" NOT NULL,
    entry_uid    text COLLATE "C" NOT NULL,
    label        text NOT NULL,
    source       text NOT NULL,
    names        text[] NOT NULL,
    programs     text[] NOT NULL,
    version_from integer NOT NULL,
    version_to   integer,
    PRIMARY KEY (family, address, list_code, entry_uid, label, version_from)
);

-- rates --------------------------------------------------------------------------------------

CREATE TABLE rate_snapshot (
    base        text COLLATE "C" NOT NULL,
    quote       text COLLATE "C" NOT NULL,
    observed_at timestamptz NOT NULL,
    source      text COLLATE "C" NOT NULL,
    rate        numeric(38, 18) NOT NULL CHECK (rate > 0 AND rate < 1e15),
    raw         jsonb NOT NULL,
    stored_at   timestamptz NOT NULL,
    PRIMARY KEY (base, quote, observed_at, source)
);

-- chains: what concerns no single tenant ----------------------------------------------------------

CREATE TABLE ingest.chain_cursor (
    chain        text COLLATE "C" PRIMARY KEY,
    head_number  bigint NOT NULL,
    head_hash    text COLLATE "C" NOT NULL,
    head_at      timestamptz NOT NULL,
    safe_number  bigint NOT NULL,
    final_number bigint NOT NULL,
    final_hash   text COLLATE "C" NOT NULL,
    final_at     timestamptz NOT NULL,
    lease_until  timestamptz,
    lease_token  uuid,
    updated_at   timestamptz NOT NULL
);

CREATE TABLE ingest.chain_anchor (
    chain  text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    hash   text COLLATE "C" NOT NULL,
    PRIMARY KEY (chain, number)
);

CREATE TABLE ingest.address_owner (
    family     text COLLATE "C" NOT NULL,
    address    text COLLATE "C" NOT NULL,
    org_id     bigint NOT NULL,
    number     bigint NOT NULL,
    PRIMARY KEY (family, address)
);

-- Tokens that reached an address of ours without belonging to an invoice: kept, never credited.
CREATE TABLE ingest.unassigned_transfer (
    chain         text COLLATE "C" NOT NULL,
    tx_hash       text COLLATE "C" NOT NULL,
    log_index     integer NOT NULL,
    org_id        bigint NOT NULL,
    number        bigint NOT NULL,
    address       text COLLATE "C" NOT NULL,
    reason        text COLLATE "C" NOT NULL CHECK (reason IN ('unassigned', 'own_address')),
    contract      text COLLATE "C" NOT NULL,
    from_address  text COLLATE "C" NOT NULL,
    amount_units  numeric(78, 0) NOT NULL CHECK (amount_units > 0 AND amount_units < 1e60),
    block_number  bigint NOT NULL,
    block_hash    text COLLATE "C" NOT NULL,
    block_at      timestamptz NOT NULL,
    first_seen_at timestamptz NOT NULL,
    depth         smallint NOT NULL CHECK (depth BETWEEN 0 AND 3),
    PRIMARY KEY (chain, tx_hash, log_index)
);
CREATE INDEX unassigned_transfer_unsettled ON ingest.unassigned_transfer (chain, block_number)
    WHERE depth IN (1, 2);
CREATE INDEX unassigned_transfer_by_address ON ingest.unassigned_transfer (chain, address);

CREATE TABLE ingest.wallet (
    chain         text COLLATE "C" NOT NULL,
    address       text COLLATE "C" NOT NULL,
    org_id        bigint NOT NULL,
    role          text COLLATE "C" NOT NULL CHECK (role IN ('operator', 'pool', 'gas')),
    next_nonce    bigint NOT NULL CHECK (next_nonce >= 0),
    frozen_reason text,
    PRIMARY KEY (chain, address),
    UNIQUE (chain, org_id, role)
);

-- What people did to a wallet that was frozen, and why; only ever added to.
CREATE TABLE ingest.wallet_note (
    note_id uuid PRIMARY KEY,
    chain   text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    at      timestamptz NOT NULL,
    by      text NOT NULL,
    what    text NOT NULL,
    reason  text NOT NULL,
    FOREIGN KEY (chain, address) REFERENCES ingest.wallet
);
CREATE INDEX wallet_note_by_wallet ON ingest.wallet_note (chain, address);

-- Every byte string ever allowed to reach a node; written and committed before it does.
CREATE TABLE ingest.chain_tx (
    chain        text COLLATE "C" NOT NULL,
    wallet       text COLLATE "C" NOT NULL,
    nonce        bigint NOT NULL,
    attempt      smallint NOT NULL,
    tx_hash      text COLLATE "C" NOT NULL,
    raw          bytea NOT NULL,
    gas_limit    bigint NOT NULL,
    max_fee_wei  numeric(78, 0) NOT NULL CHECK (max_fee_wei >= 0 AND max_fee_wei < 1e60),
    tip_wei      numeric(78, 0) NOT NULL CHECK (tip_wei >= 0 AND tip_wei < 1e60),
    status       text COLLATE "C" NOT NULL CHECK (status IN ('signed', 'sent', 'final', 'reverted', 'replaced')),
    signed_at    timestamptz NOT NULL,
    sent_at      timestamptz,
    send_error   text,
    block_number bigint,
    fee_wei      numeric(78, 0) CHECK (fee_wei >= 0 AND fee_wei < 1e60),
    final_at     timestamptz,
    PRIMARY KEY (chain, wallet, nonce, attempt),
    UNIQUE (chain, tx_hash)
);
CREATE INDEX chain_tx_open ON ingest.chain_tx (chain, status) WHERE status IN ('signed', 'sent');

-- What proves something is only ever added to. An owner can take its own rights away; giving them
-- back would be a change of the schema, which is looked at.
REVOKE UPDATE, DELETE, TRUNCATE
    ON invoice_log, posting, screening_run, move_note, ingest.wallet_note FROM CURRENT_USER;
