-- What all migrations together make. Written by `make schema`; do not edit.

CREATE SCHEMA ingest;

CREATE TABLE ingest.address_owner (
    family text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    org_id bigint NOT NULL,
    number bigint NOT NULL,
    deposit_mode text DEFAULT 'factory'::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT address_owner_deposit_mode_check CHECK ((deposit_mode = ANY (ARRAY['factory'::text, 'hd'::text])))
);

CREATE TABLE ingest.chain_anchor (
    chain text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    hash text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE ingest.chain_cursor (
    chain text NOT NULL COLLATE pg_catalog."C",
    head_number bigint NOT NULL,
    head_hash text NOT NULL COLLATE pg_catalog."C",
    head_at timestamp with time zone NOT NULL,
    safe_number bigint NOT NULL,
    final_number bigint NOT NULL,
    final_hash text NOT NULL COLLATE pg_catalog."C",
    final_at timestamp with time zone NOT NULL,
    lease_until timestamp with time zone,
    lease_token uuid,
    updated_at timestamp with time zone NOT NULL,
    halted_reason text,
    halted_at timestamp with time zone,
    lacking text
);

CREATE TABLE ingest.chain_tx (
    chain text NOT NULL COLLATE pg_catalog."C",
    wallet text NOT NULL COLLATE pg_catalog."C",
    nonce bigint NOT NULL,
    attempt smallint NOT NULL,
    tx_hash text NOT NULL COLLATE pg_catalog."C",
    raw bytea NOT NULL,
    gas_limit bigint NOT NULL,
    max_fee_wei numeric(78,0) NOT NULL,
    tip_wei numeric(78,0) NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    signed_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    send_error text,
    block_number bigint,
    fee_wei numeric(78,0),
    final_at timestamp with time zone,
    cancels boolean DEFAULT false NOT NULL,
    gone_at_block bigint,
    bump_error text,
    bump_after timestamp with time zone,
    data_fee_wei numeric(78,0) DEFAULT 0 NOT NULL,
    doubt text,
    CONSTRAINT chain_tx_data_fee_wei_check CHECK (((data_fee_wei >= (0)::numeric) AND (data_fee_wei < '1000000000000000000000000000000000000000000000000000000000000'::numeric))),
    CONSTRAINT chain_tx_fee_wei_check CHECK (((fee_wei >= (0)::numeric) AND (fee_wei < '1000000000000000000000000000000000000000000000000000000000000'::numeric))),
    CONSTRAINT chain_tx_max_fee_wei_check CHECK (((max_fee_wei >= (0)::numeric) AND (max_fee_wei < '1000000000000000000000000000000000000000000000000000000000000'::numeric))),
    CONSTRAINT chain_tx_status_check CHECK ((status = ANY (ARRAY['signed'::text, 'sent'::text, 'final'::text, 'reverted'::text, 'replaced'::text, 'empty'::text]))),
    CONSTRAINT chain_tx_tip_wei_check CHECK (((tip_wei >= (0)::numeric) AND (tip_wei < '1000000000000000000000000000000000000000000000000000000000000'::numeric)))
);

CREATE TABLE ingest.dismissed_balance (
    dismissal_id uuid NOT NULL,
    chain text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    contract text NOT NULL COLLATE pg_catalog."C",
    org_id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    amount_units numeric(78,0) NOT NULL,
    block_number bigint NOT NULL,
    dismissed_by text NOT NULL,
    reason text NOT NULL,
    dismissed_at timestamp with time zone NOT NULL,
    CONSTRAINT dismissed_balance_amount_units_check CHECK (((amount_units > (0)::numeric) AND (amount_units < '1000000000000000000000000000000000000000000000000000000000000'::numeric)))
);

CREATE TABLE ingest.doubted_transfer (
    chain text NOT NULL COLLATE pg_catalog."C",
    tx_hash text NOT NULL COLLATE pg_catalog."C",
    log_index integer NOT NULL,
    org_id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    contract text NOT NULL COLLATE pg_catalog."C",
    amount_units numeric(78,0) NOT NULL,
    block_number bigint NOT NULL,
    reason text NOT NULL,
    since timestamp with time zone NOT NULL
);

CREATE TABLE ingest.gone_nonce (
    chain text NOT NULL COLLATE pg_catalog."C",
    wallet text NOT NULL COLLATE pg_catalog."C",
    nonce bigint NOT NULL,
    seen_at timestamp with time zone NOT NULL
);

CREATE TABLE ingest.lost_signature (
    chain text NOT NULL COLLATE pg_catalog."C",
    wallet text NOT NULL COLLATE pg_catalog."C",
    nonce bigint NOT NULL,
    org_id bigint NOT NULL,
    move_ids uuid[] NOT NULL,
    tx_hashes text[] NOT NULL,
    found_at timestamp with time zone NOT NULL,
    ended text COLLATE pg_catalog."C",
    ended_at timestamp with time zone,
    block_number bigint,
    CONSTRAINT lost_signature_check CHECK (((ended IS NULL) = (ended_at IS NULL))),
    CONSTRAINT lost_signature_ended_check CHECK ((ended = ANY (ARRAY['kept'::text, 'cancelled'::text, 'gone'::text, 'landed'::text])))
);

CREATE TABLE ingest.native_outflow (
    chain text NOT NULL COLLATE pg_catalog."C",
    tx_hash text NOT NULL COLLATE pg_catalog."C",
    log_index integer NOT NULL,
    address text NOT NULL COLLATE pg_catalog."C",
    amount_units numeric(78,0) NOT NULL,
    block_number bigint NOT NULL,
    CONSTRAINT native_outflow_amount_units_check CHECK (((amount_units > (0)::numeric) AND (amount_units < '1000000000000000000000000000000000000000000000000000000000000'::numeric)))
);

CREATE TABLE ingest.token_code (
    chain text NOT NULL COLLATE pg_catalog."C",
    contract text NOT NULL COLLATE pg_catalog."C",
    fingerprint text NOT NULL COLLATE pg_catalog."C",
    behind text[] NOT NULL,
    is_first boolean NOT NULL,
    seen_at timestamp with time zone NOT NULL
);

CREATE TABLE ingest.unassigned_transfer (
    chain text NOT NULL COLLATE pg_catalog."C",
    tx_hash text NOT NULL COLLATE pg_catalog."C",
    log_index integer NOT NULL,
    org_id bigint NOT NULL,
    number bigint NOT NULL,
    address text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL COLLATE pg_catalog."C",
    contract text NOT NULL COLLATE pg_catalog."C",
    from_address text NOT NULL COLLATE pg_catalog."C",
    amount_units numeric(78,0) NOT NULL,
    block_number bigint NOT NULL,
    block_hash text NOT NULL COLLATE pg_catalog."C",
    block_at timestamp with time zone NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    depth smallint NOT NULL,
    CONSTRAINT unassigned_transfer_amount_units_check CHECK (((amount_units > (0)::numeric) AND (amount_units < '1000000000000000000000000000000000000000000000000000000000000'::numeric))),
    CONSTRAINT unassigned_transfer_depth_check CHECK (((depth >= 0) AND (depth <= 3))),
    CONSTRAINT unassigned_transfer_reason_check CHECK ((reason = ANY (ARRAY['unassigned'::text, 'own_address'::text])))
);

CREATE TABLE ingest.unexplained_balance (
    chain text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    contract text NOT NULL COLLATE pg_catalog."C",
    org_id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    known_units numeric(78,0) NOT NULL,
    chain_units numeric(78,0) NOT NULL,
    block_number bigint NOT NULL,
    since timestamp with time zone NOT NULL
);

CREATE TABLE ingest.unknown_token_cursor (
    chain text NOT NULL COLLATE pg_catalog."C",
    block_number bigint NOT NULL
);

CREATE TABLE ingest.wallet (
    chain text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    org_id bigint NOT NULL,
    role text NOT NULL COLLATE pg_catalog."C",
    next_nonce bigint NOT NULL,
    frozen_reason text,
    CONSTRAINT wallet_next_nonce_check CHECK ((next_nonce >= 0)),
    CONSTRAINT wallet_role_check CHECK ((role = ANY (ARRAY['operator'::text, 'pool'::text, 'hold'::text, 'gas'::text, 'child'::text])))
);

CREATE TABLE ingest.wallet_note (
    note_id uuid NOT NULL,
    chain text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    at timestamp with time zone NOT NULL,
    by text NOT NULL,
    what text NOT NULL,
    reason text NOT NULL
);

CREATE TABLE public.answered_challenge (
    challenge_hash bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.api_key (
    key_id text NOT NULL COLLATE pg_catalog."C",
    secret_hash bytea NOT NULL,
    org_id bigint NOT NULL,
    member_id uuid NOT NULL,
    label text NOT NULL,
    auto_approve boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    scopes text[],
    last_used_at timestamp with time zone,
    client_id text COLLATE pg_catalog."C",
    CONSTRAINT api_key_scopes_check CHECK ((cardinality(scopes) > 0))
);

CREATE TABLE public.bank_account (
    org_id bigint NOT NULL,
    bank_account_id bigint NOT NULL,
    label text NOT NULL,
    currency text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    holder text DEFAULT ''::text NOT NULL,
    bank_name text DEFAULT ''::text NOT NULL,
    branch text DEFAULT ''::text NOT NULL,
    bank_code text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    bic text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    account_number text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    reference text DEFAULT ''::text NOT NULL,
    added_by text COLLATE pg_catalog."C",
    approved_by text COLLATE pg_catalog."C",
    approved_at timestamp with time zone,
    disabled_at timestamp with time zone,
    usable_at timestamp with time zone,
    CONSTRAINT bank_account_check CHECK (((account_number = ''::text) OR ((holder <> ''::text) AND (bank_name <> ''::text))))
);

CREATE TABLE public.client (
    org_id bigint NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone
);

CREATE TABLE public.client_file (
    org_id bigint NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    file_id uuid NOT NULL
);

CREATE TABLE public.compliance_report (
    org_id bigint NOT NULL,
    sequence integer NOT NULL,
    invoice_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    operator_uid text NOT NULL COLLATE pg_catalog."C",
    reference text NOT NULL,
    reported_on date NOT NULL,
    request_id text,
    seal bytea NOT NULL,
    CONSTRAINT compliance_report_seal_check CHECK ((length(seal) = 32)),
    CONSTRAINT compliance_report_sequence_check CHECK ((sequence >= 1))
);

CREATE TABLE public.deposit_address (
    org_id bigint NOT NULL,
    number bigint NOT NULL,
    family text NOT NULL,
    address text NOT NULL COLLATE pg_catalog."C",
    invoice_id uuid
);

CREATE TABLE public.effect (
    org_id bigint NOT NULL,
    effect_id uuid NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    invoice_id uuid NOT NULL,
    due_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    lease_token uuid,
    last_error text,
    done_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT effect_kind_check CHECK ((kind = ANY (ARRAY['screen'::text, 'tell'::text])))
);

CREATE TABLE public.failed_attempt (
    attempt_id uuid NOT NULL,
    subject text NOT NULL,
    at timestamp with time zone NOT NULL
);

CREATE TABLE public.file (
    org_id bigint NOT NULL,
    file_id uuid NOT NULL,
    name text NOT NULL,
    content_type text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 bytea NOT NULL,
    content bytea NOT NULL,
    uploaded_by uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT file_content_type_check CHECK ((content_type = ANY (ARRAY['application/pdf'::text, 'image/png'::text, 'image/jpeg'::text]))),
    CONSTRAINT file_size_bytes_check CHECK ((size_bytes > 0))
);

CREATE TABLE public.hd_address (
    org_id bigint NOT NULL,
    family text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    address text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE public.idempotency_key (
    org_id bigint NOT NULL,
    member_id uuid NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    fingerprint bytea NOT NULL,
    status_code integer,
    body bytea,
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE public.invitation (
    token_hash bytea NOT NULL,
    org_id bigint NOT NULL,
    member_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone
);

CREATE TABLE public.invoice (
    org_id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    number bigint NOT NULL,
    dialect text NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    context text COLLATE pg_catalog."C",
    settlement text NOT NULL,
    recipient_email text NOT NULL COLLATE pg_catalog."C",
    group_key text COLLATE pg_catalog."C",
    search_text text NOT NULL,
    deposit_address text NOT NULL COLLATE pg_catalog."C",
    deadline_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    version integer NOT NULL,
    detail jsonb NOT NULL,
    archived boolean DEFAULT false NOT NULL,
    CONSTRAINT invoice_settlement_check CHECK ((settlement = ANY (ARRAY['crypto'::text, 'fiat'::text]))),
    CONSTRAINT invoice_version_check CHECK ((version >= 1))
);

CREATE TABLE public.invoice_count (
    org_id bigint NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    context text COLLATE pg_catalog."C",
    settlement text NOT NULL,
    archived boolean NOT NULL,
    count bigint NOT NULL
);

CREATE TABLE public.invoice_log (
    org_id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    sequence integer NOT NULL,
    from_status text COLLATE pg_catalog."C",
    to_status text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL COLLATE pg_catalog."C",
    operator_uid text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL,
    metadata text NOT NULL,
    request_id text,
    at timestamp with time zone NOT NULL,
    seal bytea NOT NULL,
    CONSTRAINT invoice_log_seal_check CHECK ((length(seal) = 32)),
    CONSTRAINT invoice_log_sequence_check CHECK ((sequence >= 1))
);

CREATE TABLE public.invoice_search (
    org_id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    grams integer[],
    price_currency text NOT NULL COLLATE pg_catalog."C",
    price_amount numeric NOT NULL,
    grams_of_org boolean DEFAULT false NOT NULL
);

CREATE TABLE public.job (
    org_id bigint NOT NULL,
    job_id uuid NOT NULL,
    member_id uuid NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    asked text NOT NULL,
    invoice_ids uuid[] NOT NULL,
    done integer DEFAULT 0 NOT NULL,
    error text,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    lease_until timestamp with time zone,
    lease_token uuid
);

CREATE TABLE public.job_part (
    org_id bigint NOT NULL,
    job_id uuid NOT NULL,
    "position" integer NOT NULL,
    content text NOT NULL
);

CREATE TABLE public.journal_entry (
    org_id bigint NOT NULL,
    cause text NOT NULL COLLATE pg_catalog."C",
    invoice_id uuid,
    at timestamp with time zone NOT NULL,
    block_number bigint NOT NULL
);

CREATE TABLE public.list_columns (
    org_id bigint NOT NULL,
    member_id uuid NOT NULL,
    columns text[] NOT NULL
);

CREATE TABLE public.member (
    org_id bigint NOT NULL,
    member_id uuid NOT NULL,
    person_id uuid NOT NULL,
    roles text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone,
    accepted_at timestamp with time zone
);

CREATE TABLE public.money_after_end (
    org_id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    worth_dollars numeric,
    CONSTRAINT money_after_end_worth_dollars_check CHECK ((worth_dollars > (0)::numeric))
);

CREATE TABLE public.move (
    org_id bigint NOT NULL,
    move_id uuid NOT NULL,
    purpose text NOT NULL COLLATE pg_catalog."C",
    source_id text NOT NULL COLLATE pg_catalog."C",
    leg smallint NOT NULL,
    invoice_id uuid,
    chain text NOT NULL COLLATE pg_catalog."C",
    contract text NOT NULL COLLATE pg_catalog."C",
    destination text NOT NULL COLLATE pg_catalog."C",
    amount_units numeric(78,0) NOT NULL,
    moved_units numeric(78,0),
    status text NOT NULL COLLATE pg_catalog."C",
    park_reason text,
    wait_reason text,
    wait_until timestamp with time zone,
    wallet text COLLATE pg_catalog."C",
    nonce bigint,
    tx_hash text COLLATE pg_catalog."C",
    approved_by text,
    approved_at timestamp with time zone,
    warrant text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    final_at timestamp with time zone,
    generation smallint DEFAULT 0 NOT NULL,
    replaces_nonce bigint,
    failures smallint DEFAULT 0 NOT NULL,
    batch_limit smallint,
    deposit_mode text DEFAULT 'factory'::text NOT NULL COLLATE pg_catalog."C",
    from_hold boolean DEFAULT false NOT NULL,
    token_fee_units numeric(78,0) DEFAULT 0 NOT NULL,
    vouched boolean DEFAULT false NOT NULL,
    CONSTRAINT move_amount_units_check CHECK (((amount_units >= (0)::numeric) AND (amount_units < '1000000000000000000000000000000000000000000000000000000000000'::numeric))),
    CONSTRAINT move_batch_limit_check CHECK ((batch_limit > 0)),
    CONSTRAINT move_check CHECK (((wait_reason IS NULL) = (wait_until IS NULL))),
    CONSTRAINT move_deposit_mode_check CHECK ((deposit_mode = ANY (ARRAY['factory'::text, 'hd'::text]))),
    CONSTRAINT move_moved_units_check CHECK (((moved_units >= (0)::numeric) AND (moved_units < '1000000000000000000000000000000000000000000000000000000000000'::numeric))),
    CONSTRAINT move_purpose_check CHECK ((purpose = ANY (ARRAY['sweep'::text, 'quarantine'::text, 'restore'::text, 'payout'::text, 'refund'::text, 'partial_refund'::text, 'fuel'::text, 'deploy'::text]))),
    CONSTRAINT move_status_check CHECK ((status = ANY (ARRAY['waiting'::text, 'ready'::text, 'signed'::text, 'final'::text, 'failed'::text, 'parked'::text]))),
    CONSTRAINT move_token_fee_units_check CHECK ((token_fee_units >= (0)::numeric))
);

CREATE TABLE public.move_note (
    org_id bigint NOT NULL,
    note_id uuid NOT NULL,
    move_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    by text NOT NULL,
    what text NOT NULL,
    reason text NOT NULL
);

CREATE TABLE public.org (
    org_id bigint NOT NULL,
    name text NOT NULL,
    client_id text NOT NULL COLLATE pg_catalog."C",
    factory_address text NOT NULL COLLATE pg_catalog."C",
    operator_address text NOT NULL COLLATE pg_catalog."C",
    pool_address text NOT NULL COLLATE pg_catalog."C",
    hold_address text NOT NULL COLLATE pg_catalog."C",
    gas_address text NOT NULL COLLATE pg_catalog."C",
    policy jsonb NOT NULL,
    callback_secret_version integer DEFAULT 1 NOT NULL,
    next_number bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    log_length integer DEFAULT 0 NOT NULL,
    time_zone text DEFAULT 'UTC'::text NOT NULL COLLATE pg_catalog."C",
    report_log_length integer DEFAULT 0 NOT NULL
);

CREATE TABLE public.org_log (
    org_id bigint NOT NULL,
    sequence integer NOT NULL,
    at timestamp with time zone NOT NULL,
    operator_uid text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL,
    metadata text NOT NULL,
    request_id text,
    seal bytea NOT NULL,
    CONSTRAINT org_log_seal_check CHECK ((length(seal) = 32)),
    CONSTRAINT org_log_sequence_check CHECK ((sequence >= 1))
);

CREATE TABLE public.org_profile (
    org_id bigint NOT NULL,
    email text NOT NULL,
    address text NOT NULL,
    tax_number text NOT NULL,
    logo_file_id uuid
);

CREATE TABLE public.outbox (
    org_id bigint NOT NULL,
    event_id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    sequence integer NOT NULL,
    dialect text NOT NULL COLLATE pg_catalog."C",
    url text NOT NULL,
    endpoint text NOT NULL COLLATE pg_catalog."C",
    from_status text COLLATE pg_catalog."C",
    to_status text NOT NULL COLLATE pg_catalog."C",
    from_context text COLLATE pg_catalog."C",
    to_context text COLLATE pg_catalog."C",
    snapshot jsonb NOT NULL,
    body bytea,
    status text NOT NULL COLLATE pg_catalog."C",
    due_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    by_hand boolean DEFAULT false NOT NULL,
    lease_until timestamp with time zone,
    lease_token uuid,
    created_at timestamp with time zone NOT NULL,
    delivered_at timestamp with time zone,
    CONSTRAINT outbox_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'delivered'::text, 'silent'::text, 'parked'::text])))
);

CREATE TABLE public.outbox_attempt (
    org_id bigint NOT NULL,
    event_id uuid NOT NULL,
    attempt integer NOT NULL,
    at timestamp with time zone NOT NULL,
    status_code integer,
    error text,
    duration_ms integer NOT NULL
);

CREATE TABLE public.passkey (
    credential_id bytea NOT NULL,
    person_id uuid NOT NULL,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    label text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    passkey_id uuid DEFAULT gen_random_uuid() NOT NULL,
    blocked_at timestamp with time zone
);

CREATE TABLE public.payment_request (
    org_id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    "position" smallint NOT NULL,
    chain text NOT NULL COLLATE pg_catalog."C",
    contract text NOT NULL COLLATE pg_catalog."C",
    due_units numeric(78,0) NOT NULL,
    quote jsonb,
    CONSTRAINT payment_request_due_units_check CHECK (((due_units > (0)::numeric) AND (due_units < '1000000000000000000000000000000000000000000000000000000000000'::numeric)))
);

CREATE TABLE public.payout_address (
    org_id bigint NOT NULL,
    payout_address_id uuid NOT NULL,
    family text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    label text NOT NULL,
    added_by text NOT NULL COLLATE pg_catalog."C",
    added_at timestamp with time zone NOT NULL,
    approved_by text COLLATE pg_catalog."C",
    approved_at timestamp with time zone,
    usable_at timestamp with time zone,
    removed_at timestamp with time zone,
    CONSTRAINT payout_address_check CHECK ((approved_by <> added_by))
);

CREATE TABLE public.person (
    person_id uuid NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    language text,
    theme text DEFAULT 'auto'::text NOT NULL,
    password_changed_at timestamp with time zone,
    totp_sealed bytea,
    totp_step bigint,
    has_password boolean DEFAULT true NOT NULL,
    CONSTRAINT person_language_check CHECK ((language = ANY (ARRAY['en'::text, 'zh-Hant-TW'::text]))),
    CONSTRAINT person_theme_check CHECK ((theme = ANY (ARRAY['auto'::text, 'light'::text, 'dark'::text])))
);

CREATE TABLE public.person_session (
    session_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    person_id uuid NOT NULL,
    org_id bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    factor_due boolean NOT NULL,
    confirmed_at timestamp with time zone,
    revoked_at timestamp with time zone,
    agent text NOT NULL,
    address text NOT NULL
);

CREATE TABLE public.posting (
    org_id bigint NOT NULL,
    cause text NOT NULL COLLATE pg_catalog."C",
    "position" smallint NOT NULL,
    invoice_id uuid,
    source text NOT NULL COLLATE pg_catalog."C",
    destination text NOT NULL COLLATE pg_catalog."C",
    chain text NOT NULL COLLATE pg_catalog."C",
    contract text NOT NULL COLLATE pg_catalog."C",
    amount_units numeric(78,0) NOT NULL,
    CONSTRAINT posting_amount_units_check CHECK (((amount_units > (0)::numeric) AND (amount_units < '1000000000000000000000000000000000000000000000000000000000000'::numeric))),
    CONSTRAINT posting_check CHECK ((source <> destination))
);

CREATE TABLE public.rate_snapshot (
    base text NOT NULL COLLATE pg_catalog."C",
    quote text NOT NULL COLLATE pg_catalog."C",
    observed_at timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    rate numeric(38,18) NOT NULL,
    raw jsonb NOT NULL,
    stored_at timestamp with time zone NOT NULL,
    rank smallint DEFAULT 0 NOT NULL,
    CONSTRAINT rate_snapshot_rank_check CHECK ((rank >= 0)),
    CONSTRAINT rate_snapshot_rate_check CHECK (((rate > (0)::numeric) AND (rate < '1000000000000000'::numeric)))
);

CREATE TABLE public.recipient (
    org_id bigint NOT NULL,
    recipient_id uuid NOT NULL,
    name text NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL,
    tax_number text NOT NULL,
    skeleton text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    deactivated_at timestamp with time zone
);

CREATE TABLE public.recovery_code (
    person_id uuid NOT NULL,
    code_hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone
);

CREATE TABLE public.refund (
    org_id bigint NOT NULL,
    refund_id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    number integer NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL,
    attachment_file_ids uuid[] NOT NULL,
    is_whole boolean NOT NULL,
    returns_to text NOT NULL COLLATE pg_catalog."C",
    ordered_by text NOT NULL COLLATE pg_catalog."C",
    ordered_at timestamp with time zone NOT NULL,
    approved_by text COLLATE pg_catalog."C",
    approved_at timestamp with time zone,
    withdrawn_by text COLLATE pg_catalog."C",
    withdrawn_at timestamp with time zone,
    settled_at timestamp with time zone,
    with_sign_off boolean DEFAULT false NOT NULL,
    CONSTRAINT refund_number_check CHECK ((number >= 1)),
    CONSTRAINT refund_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'processing'::text, 'settled'::text, 'withdrawn'::text])))
);

CREATE TABLE public.refund_amount (
    org_id bigint NOT NULL,
    refund_id uuid NOT NULL,
    "position" smallint NOT NULL,
    chain text NOT NULL COLLATE pg_catalog."C",
    contract text NOT NULL COLLATE pg_catalog."C",
    amount_units numeric(78,0) NOT NULL,
    CONSTRAINT refund_amount_amount_units_check CHECK (((amount_units > (0)::numeric) AND (amount_units < '1000000000000000000000000000000000000000000000000000000000000'::numeric)))
);

CREATE TABLE public.role_grant (
    org_id bigint NOT NULL,
    member_id uuid NOT NULL,
    role text NOT NULL COLLATE pg_catalog."C",
    asked_by text NOT NULL COLLATE pg_catalog."C",
    asked_at timestamp with time zone NOT NULL,
    holds_at timestamp with time zone NOT NULL,
    renewed_by text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE public.saved_filter (
    org_id bigint NOT NULL,
    member_id uuid NOT NULL,
    name text NOT NULL,
    query text NOT NULL,
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE public.screening_disposition (
    org_id bigint NOT NULL,
    disposition_id uuid NOT NULL,
    party text NOT NULL,
    payer text NOT NULL COLLATE pg_catalog."C",
    fingerprint text NOT NULL COLLATE pg_catalog."C",
    list_code text NOT NULL COLLATE pg_catalog."C",
    entry_uid text NOT NULL COLLATE pg_catalog."C",
    invoice_id uuid NOT NULL,
    people text[] NOT NULL,
    evidence uuid[] NOT NULL,
    decided_at timestamp with time zone NOT NULL
);

CREATE TABLE public.screening_list (
    list_code text NOT NULL COLLATE pg_catalog."C",
    published_on date,
    imported_at timestamp with time zone NOT NULL,
    sha256 text NOT NULL,
    entry_count integer NOT NULL,
    address_count integer NOT NULL,
    version integer NOT NULL,
    source text NOT NULL
);

CREATE TABLE public.screening_list_address (
    list_code text NOT NULL COLLATE pg_catalog."C",
    family text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    entry_uid text NOT NULL COLLATE pg_catalog."C",
    label text NOT NULL,
    source text NOT NULL,
    names text[] NOT NULL,
    programs text[] NOT NULL,
    version_from integer NOT NULL,
    version_to integer
);

CREATE TABLE public.screening_run (
    org_id bigint NOT NULL,
    run_id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    decision text NOT NULL COLLATE pg_catalog."C",
    total numeric(5,2) NOT NULL,
    scores jsonb NOT NULL,
    record jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    is_stray boolean DEFAULT false NOT NULL,
    CONSTRAINT screening_run_decision_check CHECK ((decision = ANY (ARRAY['clear'::text, 'manual_review'::text, 'aml_hold'::text]))),
    CONSTRAINT screening_run_total_check CHECK (((total >= (0)::numeric) AND (total <= (100)::numeric)))
);

CREATE TABLE public.token_code_accepted (
    org_id bigint NOT NULL,
    chain text NOT NULL COLLATE pg_catalog."C",
    contract text NOT NULL COLLATE pg_catalog."C",
    fingerprint text NOT NULL COLLATE pg_catalog."C",
    accepted_by text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL,
    accepted_at timestamp with time zone NOT NULL
);

CREATE TABLE public.transfer (
    org_id bigint NOT NULL,
    chain text NOT NULL COLLATE pg_catalog."C",
    tx_hash text NOT NULL COLLATE pg_catalog."C",
    log_index integer NOT NULL,
    invoice_id uuid NOT NULL,
    contract text NOT NULL COLLATE pg_catalog."C",
    from_address text NOT NULL COLLATE pg_catalog."C",
    amount_units numeric(78,0) NOT NULL,
    block_number bigint NOT NULL,
    block_hash text NOT NULL COLLATE pg_catalog."C",
    block_at timestamp with time zone NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    depth smallint NOT NULL,
    attached_tx_hash text COLLATE pg_catalog."C",
    attached_sender text COLLATE pg_catalog."C",
    attached_to text COLLATE pg_catalog."C",
    deposit_mode text DEFAULT 'factory'::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT transfer_amount_units_check CHECK (((amount_units > (0)::numeric) AND (amount_units < '1000000000000000000000000000000000000000000000000000000000000'::numeric))),
    CONSTRAINT transfer_check CHECK (((attached_tx_hash IS NULL) = (attached_sender IS NULL))),
    CONSTRAINT transfer_deposit_mode_check CHECK ((deposit_mode = ANY (ARRAY['factory'::text, 'hd'::text]))),
    CONSTRAINT transfer_depth_check CHECK (((depth >= 0) AND (depth <= 3)))
);

CREATE TABLE public.transfer_claim (
    org_id bigint NOT NULL,
    claim_id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    chain text NOT NULL COLLATE pg_catalog."C",
    tx_hash text NOT NULL COLLATE pg_catalog."C",
    log_index integer NOT NULL,
    named_tx_hash text NOT NULL COLLATE pg_catalog."C",
    named_by text NOT NULL,
    named_at timestamp with time zone NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    finding text,
    checked_at timestamp with time zone,
    CONSTRAINT transfer_claim_status_check CHECK ((status = ANY (ARRAY['open'::text, 'confirmed'::text, 'refused'::text])))
);

CREATE TABLE public.unknown_token (
    org_id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    chain text NOT NULL COLLATE pg_catalog."C",
    contract text NOT NULL COLLATE pg_catalog."C",
    tx_hash text NOT NULL COLLATE pg_catalog."C",
    from_address text NOT NULL COLLATE pg_catalog."C",
    amount_units numeric(78,0) NOT NULL,
    block_number bigint NOT NULL,
    noted_at timestamp with time zone NOT NULL,
    CONSTRAINT unknown_token_amount_units_check CHECK ((amount_units > (0)::numeric))
);

ALTER TABLE ONLY ingest.address_owner
    ADD CONSTRAINT address_owner_pkey PRIMARY KEY (family, address);

ALTER TABLE ONLY ingest.chain_anchor
    ADD CONSTRAINT chain_anchor_pkey PRIMARY KEY (chain, number);

ALTER TABLE ONLY ingest.chain_cursor
    ADD CONSTRAINT chain_cursor_pkey PRIMARY KEY (chain);

ALTER TABLE ONLY ingest.chain_tx
    ADD CONSTRAINT chain_tx_chain_tx_hash_key UNIQUE (chain, tx_hash);

ALTER TABLE ONLY ingest.chain_tx
    ADD CONSTRAINT chain_tx_pkey PRIMARY KEY (chain, wallet, nonce, attempt);

ALTER TABLE ONLY ingest.dismissed_balance
    ADD CONSTRAINT dismissed_balance_pkey PRIMARY KEY (dismissal_id);

ALTER TABLE ONLY ingest.doubted_transfer
    ADD CONSTRAINT doubted_transfer_pkey PRIMARY KEY (chain, tx_hash, log_index);

ALTER TABLE ONLY ingest.gone_nonce
    ADD CONSTRAINT gone_nonce_pkey PRIMARY KEY (chain, wallet, nonce);

ALTER TABLE ONLY ingest.lost_signature
    ADD CONSTRAINT lost_signature_pkey PRIMARY KEY (chain, wallet, nonce);

ALTER TABLE ONLY ingest.native_outflow
    ADD CONSTRAINT native_outflow_pkey PRIMARY KEY (chain, tx_hash, log_index);

ALTER TABLE ONLY ingest.token_code
    ADD CONSTRAINT token_code_pkey PRIMARY KEY (chain, contract, fingerprint);

ALTER TABLE ONLY ingest.unassigned_transfer
    ADD CONSTRAINT unassigned_transfer_pkey PRIMARY KEY (chain, tx_hash, log_index);

ALTER TABLE ONLY ingest.unexplained_balance
    ADD CONSTRAINT unexplained_balance_pkey PRIMARY KEY (chain, address, contract);

ALTER TABLE ONLY ingest.unknown_token_cursor
    ADD CONSTRAINT unknown_token_cursor_pkey PRIMARY KEY (chain);

ALTER TABLE ONLY ingest.wallet_note
    ADD CONSTRAINT wallet_note_pkey PRIMARY KEY (note_id);

ALTER TABLE ONLY ingest.wallet
    ADD CONSTRAINT wallet_pkey PRIMARY KEY (chain, address);

ALTER TABLE ONLY public.answered_challenge
    ADD CONSTRAINT answered_challenge_pkey PRIMARY KEY (challenge_hash);

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (key_id);

ALTER TABLE ONLY public.bank_account
    ADD CONSTRAINT bank_account_pkey PRIMARY KEY (org_id, bank_account_id);

ALTER TABLE ONLY public.client_file
    ADD CONSTRAINT client_file_pkey PRIMARY KEY (org_id, client_id, file_id);

ALTER TABLE ONLY public.client
    ADD CONSTRAINT client_pkey PRIMARY KEY (org_id, client_id);

ALTER TABLE ONLY public.compliance_report
    ADD CONSTRAINT compliance_report_pkey PRIMARY KEY (org_id, sequence);

ALTER TABLE ONLY public.deposit_address
    ADD CONSTRAINT deposit_address_pkey PRIMARY KEY (org_id, number);

ALTER TABLE ONLY public.effect
    ADD CONSTRAINT effect_pkey PRIMARY KEY (org_id, effect_id);

ALTER TABLE ONLY public.failed_attempt
    ADD CONSTRAINT failed_attempt_pkey PRIMARY KEY (attempt_id);

ALTER TABLE ONLY public.file
    ADD CONSTRAINT file_pkey PRIMARY KEY (org_id, file_id);

ALTER TABLE ONLY public.hd_address
    ADD CONSTRAINT hd_address_pkey PRIMARY KEY (org_id, family, number);

ALTER TABLE ONLY public.idempotency_key
    ADD CONSTRAINT idempotency_key_pkey PRIMARY KEY (org_id, member_id, key);

ALTER TABLE ONLY public.invitation
    ADD CONSTRAINT invitation_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY public.invoice_log
    ADD CONSTRAINT invoice_log_pkey PRIMARY KEY (org_id, invoice_id, sequence);

ALTER TABLE ONLY public.invoice
    ADD CONSTRAINT invoice_org_id_number_key UNIQUE (org_id, number);

ALTER TABLE ONLY public.invoice
    ADD CONSTRAINT invoice_pkey PRIMARY KEY (org_id, invoice_id);

ALTER TABLE ONLY public.invoice_search
    ADD CONSTRAINT invoice_search_pkey PRIMARY KEY (org_id, invoice_id);

ALTER TABLE ONLY public.job_part
    ADD CONSTRAINT job_part_pkey PRIMARY KEY (org_id, job_id, "position");

ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (org_id, job_id);

ALTER TABLE ONLY public.journal_entry
    ADD CONSTRAINT journal_entry_pkey PRIMARY KEY (org_id, cause);

ALTER TABLE ONLY public.list_columns
    ADD CONSTRAINT list_columns_pkey PRIMARY KEY (org_id, member_id);

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_org_id_person_id_key UNIQUE (org_id, person_id);

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_pkey PRIMARY KEY (org_id, member_id);

ALTER TABLE ONLY public.money_after_end
    ADD CONSTRAINT money_after_end_pkey PRIMARY KEY (org_id, invoice_id);

ALTER TABLE ONLY public.move_note
    ADD CONSTRAINT move_note_pkey PRIMARY KEY (org_id, note_id);

ALTER TABLE ONLY public.move
    ADD CONSTRAINT move_org_id_purpose_source_id_leg_key UNIQUE (org_id, purpose, source_id, leg);

ALTER TABLE ONLY public.move
    ADD CONSTRAINT move_pkey PRIMARY KEY (org_id, move_id);

ALTER TABLE ONLY public.org
    ADD CONSTRAINT org_client_id_key UNIQUE (client_id);

ALTER TABLE ONLY public.org_log
    ADD CONSTRAINT org_log_pkey PRIMARY KEY (org_id, sequence);

ALTER TABLE ONLY public.org
    ADD CONSTRAINT org_pkey PRIMARY KEY (org_id);

ALTER TABLE ONLY public.org_profile
    ADD CONSTRAINT org_profile_pkey PRIMARY KEY (org_id);

ALTER TABLE ONLY public.outbox_attempt
    ADD CONSTRAINT outbox_attempt_pkey PRIMARY KEY (org_id, event_id, attempt);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_org_id_invoice_id_sequence_key UNIQUE (org_id, invoice_id, sequence);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (org_id, event_id);

ALTER TABLE ONLY public.passkey
    ADD CONSTRAINT passkey_passkey_id_key UNIQUE (passkey_id);

ALTER TABLE ONLY public.passkey
    ADD CONSTRAINT passkey_pkey PRIMARY KEY (credential_id);

ALTER TABLE ONLY public.payment_request
    ADD CONSTRAINT payment_request_pkey PRIMARY KEY (org_id, invoice_id, "position");

ALTER TABLE ONLY public.payout_address
    ADD CONSTRAINT payout_address_pkey PRIMARY KEY (org_id, payout_address_id);

ALTER TABLE ONLY public.person
    ADD CONSTRAINT person_email_key UNIQUE (email);

ALTER TABLE ONLY public.person
    ADD CONSTRAINT person_pkey PRIMARY KEY (person_id);

ALTER TABLE ONLY public.person_session
    ADD CONSTRAINT person_session_pkey PRIMARY KEY (session_id);

ALTER TABLE ONLY public.person_session
    ADD CONSTRAINT person_session_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY public.posting
    ADD CONSTRAINT posting_pkey PRIMARY KEY (org_id, cause, "position");

ALTER TABLE ONLY public.rate_snapshot
    ADD CONSTRAINT rate_snapshot_pkey PRIMARY KEY (base, quote, observed_at, source);

ALTER TABLE ONLY public.recipient
    ADD CONSTRAINT recipient_org_id_name_email_key UNIQUE (org_id, name, email);

ALTER TABLE ONLY public.recipient
    ADD CONSTRAINT recipient_pkey PRIMARY KEY (org_id, recipient_id);

ALTER TABLE ONLY public.recovery_code
    ADD CONSTRAINT recovery_code_pkey PRIMARY KEY (person_id, code_hash);

ALTER TABLE ONLY public.refund_amount
    ADD CONSTRAINT refund_amount_pkey PRIMARY KEY (org_id, refund_id, "position");

ALTER TABLE ONLY public.refund
    ADD CONSTRAINT refund_org_id_invoice_id_number_key UNIQUE (org_id, invoice_id, number);

ALTER TABLE ONLY public.refund
    ADD CONSTRAINT refund_pkey PRIMARY KEY (org_id, refund_id);

ALTER TABLE ONLY public.role_grant
    ADD CONSTRAINT role_grant_pkey PRIMARY KEY (org_id, member_id, role);

ALTER TABLE ONLY public.saved_filter
    ADD CONSTRAINT saved_filter_pkey PRIMARY KEY (org_id, member_id, name);

ALTER TABLE ONLY public.screening_disposition
    ADD CONSTRAINT screening_disposition_org_id_party_payer_fingerprint_key UNIQUE (org_id, party, payer, fingerprint);

ALTER TABLE ONLY public.screening_disposition
    ADD CONSTRAINT screening_disposition_pkey PRIMARY KEY (org_id, disposition_id);

ALTER TABLE ONLY public.screening_list_address
    ADD CONSTRAINT screening_list_address_pkey PRIMARY KEY (family, address, list_code, entry_uid, label, version_from);

ALTER TABLE ONLY public.screening_list
    ADD CONSTRAINT screening_list_pkey PRIMARY KEY (list_code);

ALTER TABLE ONLY public.screening_run
    ADD CONSTRAINT screening_run_pkey PRIMARY KEY (org_id, run_id);

ALTER TABLE ONLY public.token_code_accepted
    ADD CONSTRAINT token_code_accepted_pkey PRIMARY KEY (org_id, chain, contract, fingerprint);

ALTER TABLE ONLY public.transfer_claim
    ADD CONSTRAINT transfer_claim_pkey PRIMARY KEY (org_id, claim_id);

ALTER TABLE ONLY public.transfer
    ADD CONSTRAINT transfer_pkey PRIMARY KEY (org_id, chain, tx_hash, log_index);

ALTER TABLE ONLY public.unknown_token
    ADD CONSTRAINT unknown_token_pkey PRIMARY KEY (org_id, invoice_id, chain, contract);

CREATE INDEX chain_tx_open ON ingest.chain_tx USING btree (chain, status) WHERE (status = ANY (ARRAY['signed'::text, 'sent'::text]));

CREATE INDEX dismissed_balance_by_address ON ingest.dismissed_balance USING btree (chain, address);

CREATE INDEX lost_signature_by_move ON ingest.lost_signature USING gin (move_ids);

CREATE INDEX lost_signature_landed ON ingest.lost_signature USING btree (chain) WHERE (ended = 'landed'::text);

CREATE INDEX lost_signature_open ON ingest.lost_signature USING btree (chain) WHERE (ended IS NULL);

CREATE INDEX native_outflow_by_address ON ingest.native_outflow USING btree (chain, address);

CREATE UNIQUE INDEX token_code_first ON ingest.token_code USING btree (chain, contract) WHERE is_first;

CREATE INDEX unassigned_transfer_by_address ON ingest.unassigned_transfer USING btree (chain, address);

CREATE INDEX unassigned_transfer_unsettled ON ingest.unassigned_transfer USING btree (chain, block_number) WHERE (depth = ANY (ARRAY[1, 2]));

CREATE INDEX unexplained_balance_by_invoice ON ingest.unexplained_balance USING btree (org_id, invoice_id);

CREATE UNIQUE INDEX wallet_by_role ON ingest.wallet USING btree (chain, org_id, role) WHERE (role <> 'child'::text);

CREATE INDEX wallet_note_by_wallet ON ingest.wallet_note USING btree (chain, address);

CREATE INDEX answered_challenge_expiry ON public.answered_challenge USING btree (expires_at);

CREATE INDEX api_key_member ON public.api_key USING btree (org_id, member_id);

CREATE INDEX compliance_report_of_invoice ON public.compliance_report USING btree (org_id, invoice_id, sequence);

CREATE INDEX deposit_address_free ON public.deposit_address USING btree (org_id, number) WHERE (invoice_id IS NULL);

CREATE INDEX effect_due ON public.effect USING btree (kind, due_at) WHERE (done_at IS NULL);

CREATE INDEX effect_of_invoice ON public.effect USING btree (org_id, invoice_id) WHERE (done_at IS NULL);

CREATE INDEX failed_attempt_subject ON public.failed_attempt USING btree (subject, at);

CREATE INDEX idempotency_key_by_age ON public.idempotency_key USING btree (created_at);

CREATE INDEX invitation_member ON public.invitation USING btree (org_id, member_id);

CREATE INDEX invoice_by_age ON public.invoice USING btree (org_id, created_at DESC, invoice_id DESC) INCLUDE (archived, settlement);

CREATE INDEX invoice_by_client ON public.invoice USING btree (org_id, ((detail ->> 'client_id'::text)), created_at DESC, invoice_id DESC);

CREATE INDEX invoice_by_due_date ON public.invoice USING btree (org_id, status, COALESCE(context, ''::text), deadline_at, invoice_id) INCLUDE (archived, settlement, context);

CREATE INDEX invoice_by_recipient ON public.invoice USING btree (org_id, recipient_email, created_at DESC);

CREATE INDEX invoice_by_standing ON public.invoice USING btree (org_id, status, COALESCE(context, ''::text), created_at DESC, invoice_id DESC) INCLUDE (archived, settlement);

CREATE INDEX invoice_count_of_org ON public.invoice_count USING btree (org_id);

CREATE INDEX invoice_due ON public.invoice USING btree (deadline_at, org_id, invoice_id) WHERE (status = ANY (ARRAY['awaiting_payment'::text, 'expired'::text]));

CREATE INDEX invoice_due_in_part ON public.invoice USING btree (deadline_at) WHERE (status = ANY (ARRAY['payment_detected'::text, 'screening'::text, 'compliance_hold'::text, 'resolution_required'::text, 'refund_pending'::text, 'refund_processing'::text]));

CREATE INDEX invoice_former_grams ON public.invoice_search USING btree (org_id, invoice_id) WHERE (NOT grams_of_org);

CREATE INDEX invoice_search_amount ON public.invoice_search USING btree (org_id, price_currency, price_amount, invoice_id);

CREATE INDEX invoice_search_grams ON public.invoice_search USING gin (grams) WITH (fastupdate='on', gin_pending_list_limit='256');

CREATE INDEX job_by_age ON public.job USING btree (created_at);

CREATE INDEX job_of_member ON public.job USING btree (org_id, member_id, created_at);

CREATE INDEX money_after_end_by_worth ON public.money_after_end USING btree (org_id, worth_dollars DESC, invoice_id);

CREATE INDEX money_after_end_unweighed ON public.money_after_end USING btree (org_id, invoice_id) WHERE (worth_dollars IS NULL);

CREATE INDEX move_by_child ON public.move USING btree (chain, created_at) WHERE ((status = 'ready'::text) AND (deposit_mode = 'hd'::text));

CREATE INDEX move_by_invoice ON public.move USING btree (org_id, invoice_id) WHERE (invoice_id IS NOT NULL);

CREATE INDEX move_by_nonce ON public.move USING btree (chain, wallet, nonce) WHERE (nonce IS NOT NULL);

CREATE INDEX move_from_hold ON public.move USING btree (org_id, chain) WHERE (from_hold AND (status = ANY (ARRAY['waiting'::text, 'ready'::text, 'signed'::text])));

CREATE INDEX move_fuel ON public.move USING btree (org_id, chain, destination, created_at DESC, move_id DESC) WHERE (purpose = 'fuel'::text);

CREATE INDEX move_note_by_move ON public.move_note USING btree (org_id, move_id);

CREATE INDEX move_open ON public.move USING btree (chain, status, created_at) WHERE (status = ANY (ARRAY['ready'::text, 'signed'::text]));

CREATE INDEX move_parked ON public.move USING btree (updated_at) WHERE (status = 'parked'::text);

CREATE INDEX outbox_due ON public.outbox USING btree (due_at) WHERE (status = 'pending'::text);

CREATE INDEX passkey_person ON public.passkey USING btree (person_id);

CREATE INDEX payment_request_native ON public.payment_request USING btree (org_id, invoice_id) WHERE (contract = ''::text);

CREATE UNIQUE INDEX payout_address_once ON public.payout_address USING btree (org_id, family, address) WHERE (removed_at IS NULL);

CREATE INDEX person_by_email ON public.person USING btree (lower(email));

CREATE INDEX person_session_person ON public.person_session USING btree (person_id, created_at);

CREATE INDEX posting_by_invoice ON public.posting USING btree (org_id, invoice_id) WHERE (invoice_id IS NOT NULL);

CREATE INDEX posting_in ON public.posting USING btree (org_id, destination, chain, contract) INCLUDE (amount_units);

CREATE INDEX posting_out ON public.posting USING btree (org_id, source, chain, contract) INCLUDE (amount_units);

CREATE INDEX recipient_by_skeleton ON public.recipient USING btree (org_id, skeleton);

CREATE UNIQUE INDEX refund_one_open ON public.refund USING btree (org_id, invoice_id) WHERE (status = ANY (ARRAY['pending'::text, 'processing'::text]));

CREATE INDEX role_grant_holds_at_idx ON public.role_grant USING btree (holds_at);

CREATE INDEX screening_disposition_of_invoice ON public.screening_disposition USING btree (org_id, invoice_id);

CREATE INDEX screening_run_by_invoice ON public.screening_run USING btree (org_id, invoice_id, created_at);

CREATE UNIQUE INDEX transfer_attached ON public.transfer USING btree (org_id, chain, attached_tx_hash) WHERE (attached_tx_hash IS NOT NULL);

CREATE INDEX transfer_by_age ON public.transfer USING btree (org_id, block_at);

CREATE INDEX transfer_by_invoice ON public.transfer USING btree (org_id, invoice_id);

CREATE INDEX transfer_claim_of_invoice ON public.transfer_claim USING btree (org_id, invoice_id);

CREATE UNIQUE INDEX transfer_claim_open ON public.transfer_claim USING btree (org_id, chain, tx_hash, log_index) WHERE (status = 'open'::text);

CREATE INDEX transfer_claim_to_check ON public.transfer_claim USING btree (chain, named_at) WHERE (status = 'open'::text);

CREATE INDEX transfer_unsettled ON public.transfer USING btree (chain, block_number) WHERE (depth = ANY (ARRAY[1, 2]));

ALTER TABLE ONLY ingest.wallet_note
    ADD CONSTRAINT wallet_note_chain_address_fkey FOREIGN KEY (chain, address) REFERENCES ingest.wallet(chain, address);

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_org_id_member_id_fkey FOREIGN KEY (org_id, member_id) REFERENCES public.member(org_id, member_id);

ALTER TABLE ONLY public.bank_account
    ADD CONSTRAINT bank_account_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.compliance_report
    ADD CONSTRAINT compliance_report_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES public.invoice(org_id, invoice_id);

ALTER TABLE ONLY public.deposit_address
    ADD CONSTRAINT deposit_address_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.file
    ADD CONSTRAINT file_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.hd_address
    ADD CONSTRAINT hd_address_org_id_number_fkey FOREIGN KEY (org_id, number) REFERENCES public.deposit_address(org_id, number);

ALTER TABLE ONLY public.invitation
    ADD CONSTRAINT invitation_org_id_member_id_fkey FOREIGN KEY (org_id, member_id) REFERENCES public.member(org_id, member_id);

ALTER TABLE ONLY public.invoice_count
    ADD CONSTRAINT invoice_count_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.invoice_log
    ADD CONSTRAINT invoice_log_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES public.invoice(org_id, invoice_id);

ALTER TABLE ONLY public.invoice
    ADD CONSTRAINT invoice_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.invoice_search
    ADD CONSTRAINT invoice_search_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES public.invoice(org_id, invoice_id);

ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_org_id_member_id_fkey FOREIGN KEY (org_id, member_id) REFERENCES public.member(org_id, member_id);

ALTER TABLE ONLY public.job_part
    ADD CONSTRAINT job_part_org_id_job_id_fkey FOREIGN KEY (org_id, job_id) REFERENCES public.job(org_id, job_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.journal_entry
    ADD CONSTRAINT journal_entry_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.list_columns
    ADD CONSTRAINT list_columns_org_id_member_id_fkey FOREIGN KEY (org_id, member_id) REFERENCES public.member(org_id, member_id);

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_person_id_fkey FOREIGN KEY (person_id) REFERENCES public.person(person_id);

ALTER TABLE ONLY public.money_after_end
    ADD CONSTRAINT money_after_end_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES public.invoice(org_id, invoice_id);

ALTER TABLE ONLY public.move_note
    ADD CONSTRAINT move_note_org_id_move_id_fkey FOREIGN KEY (org_id, move_id) REFERENCES public.move(org_id, move_id);

ALTER TABLE ONLY public.move
    ADD CONSTRAINT move_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.org_log
    ADD CONSTRAINT org_log_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.org_profile
    ADD CONSTRAINT org_profile_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.org_profile
    ADD CONSTRAINT org_profile_org_id_logo_file_id_fkey FOREIGN KEY (org_id, logo_file_id) REFERENCES public.file(org_id, file_id);

ALTER TABLE ONLY public.outbox_attempt
    ADD CONSTRAINT outbox_attempt_org_id_event_id_fkey FOREIGN KEY (org_id, event_id) REFERENCES public.outbox(org_id, event_id);

ALTER TABLE ONLY public.passkey
    ADD CONSTRAINT passkey_person_id_fkey FOREIGN KEY (person_id) REFERENCES public.person(person_id);

ALTER TABLE ONLY public.payment_request
    ADD CONSTRAINT payment_request_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES public.invoice(org_id, invoice_id);

ALTER TABLE ONLY public.payout_address
    ADD CONSTRAINT payout_address_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.person_session
    ADD CONSTRAINT person_session_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.person_session
    ADD CONSTRAINT person_session_person_id_fkey FOREIGN KEY (person_id) REFERENCES public.person(person_id);

ALTER TABLE ONLY public.posting
    ADD CONSTRAINT posting_org_id_cause_fkey FOREIGN KEY (org_id, cause) REFERENCES public.journal_entry(org_id, cause);

ALTER TABLE ONLY public.recovery_code
    ADD CONSTRAINT recovery_code_person_id_fkey FOREIGN KEY (person_id) REFERENCES public.person(person_id);

ALTER TABLE ONLY public.refund_amount
    ADD CONSTRAINT refund_amount_org_id_refund_id_fkey FOREIGN KEY (org_id, refund_id) REFERENCES public.refund(org_id, refund_id);

ALTER TABLE ONLY public.refund
    ADD CONSTRAINT refund_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES public.invoice(org_id, invoice_id);

ALTER TABLE ONLY public.saved_filter
    ADD CONSTRAINT saved_filter_org_id_member_id_fkey FOREIGN KEY (org_id, member_id) REFERENCES public.member(org_id, member_id);

ALTER TABLE ONLY public.screening_disposition
    ADD CONSTRAINT screening_disposition_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES public.invoice(org_id, invoice_id);

ALTER TABLE ONLY public.screening_list_address
    ADD CONSTRAINT screening_list_address_list_code_fkey FOREIGN KEY (list_code) REFERENCES public.screening_list(list_code);

ALTER TABLE ONLY public.screening_run
    ADD CONSTRAINT screening_run_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES public.invoice(org_id, invoice_id);

ALTER TABLE ONLY public.token_code_accepted
    ADD CONSTRAINT token_code_accepted_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.org(org_id);

ALTER TABLE ONLY public.transfer_claim
    ADD CONSTRAINT transfer_claim_org_id_chain_tx_hash_log_index_fkey FOREIGN KEY (org_id, chain, tx_hash, log_index) REFERENCES public.transfer(org_id, chain, tx_hash, log_index);

ALTER TABLE ONLY public.transfer
    ADD CONSTRAINT transfer_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES public.invoice(org_id, invoice_id);

ALTER TABLE ONLY public.unknown_token
    ADD CONSTRAINT unknown_token_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES public.invoice(org_id, invoice_id);
