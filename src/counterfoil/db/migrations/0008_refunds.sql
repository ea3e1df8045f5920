-- A refund is a thing of its own: any number of an invoice, one after another, each with its
-- amounts, its order, its approval and its end.
CREATE TABLE refund (
    org_id              bigint NOT NULL,
    refund_id           uuid NOT NULL,
    invoice_id          uuid NOT NULL,
    number              integer NOT NULL CHECK (number >= 1),
    status              text COLLATE "C" NOT NULL
                        CHECK (status IN ('pending', 'processing', 'settled', 'withdrawn')),
    address             text COLLATE "C" NOT NULL,
    reason              text NOT NULL,
    attachment_file_ids uuid[] NOT NULL,
    is_whole            boolean NOT NULL,
    returns_to          text COLLATE "C" NOT NULL,
    ordered_by          text COLLATE "C" NOT NULL,
    ordered_at          timestamptz NOT NULL,
    approved_by         text COLLATE "C",
    approved_at         timestamptz,
    withdrawn_by        text COLLATE "C",
    withdrawn_at        timestamptz,
    settled_at          timestamptz,
    PRIMARY KEY (org_id, refund_id),
    UNIQUE (org_id, invoice_id, number),
    FOREIGN KEY (org_id, invoice_id) REFERENCES invoice
);

-- Two at once could promise the same money twice.
CREATE UNIQUE INDEX refund_one_open ON refund (org_id, invoice_id)
    WHERE status IN ('pending', 'processing');

CREATE TABLE refund_amount (
    org_id       bigint NOT NULL,
    refund_id    uuid NOT NULL,
    position     smallint NOT NULL,
    chain        text COLLATE "C" NOT NULL,
    contract     text COLLATE "C" NOT NULL,
    amount_units numeric(78, 0) NOT NULL CHECK (amount_units > 0 AND amount_units < 1e60),
    PRIMARY KEY (org_id, refund_id, position),
    FOREIGN KEY (org_id, refund_id) REFERENCES refund
);

-- Until now an invoice had one refund, of everything, inside its detail. One whose movements are
-- planned keeps the invoice's id, as that is their source.
INSERT INTO refund (org_id, refund_id, invoice_id, number, status, address, reason,
    attachment_file_ids, is_whole, returns_to, ordered_by, ordered_at, approved_by, approved_at,
    settled_at)
SELECT i.org_id,
       CASE i.status WHEN 'refund_pending' THEN md5(i.invoice_id::text || ':refund:1')::uuid
                     ELSE i.invoice_id END,
       i.invoice_id, 1,
       CASE i.status WHEN 'refund_pending' THEN 'pending'
                     WHEN 'refund_processing' THEN 'processing' ELSE 'settled' END,
       i.detail #>> '{refund,address}', i.detail #>> '{refund,reason}',
       ARRAY(SELECT jsonb_array_elements_text(i.detail #> '{refund,attachment_file_ids}'))::uuid[],
       true, ordered.from_status, i.detail #>> '{refund,ordered_by}', ordered.at,
       approved.operator_uid, approved.at, settled.at
  FROM invoice i
  JOIN invoice_log ordered ON ordered.org_id = i.org_id AND ordered.invoice_id = i.invoice_id
       AND ordered.event = 'order_refund'
  LEFT JOIN invoice_log approved ON approved.org_id = i.org_id
       AND approved.invoice_id = i.invoice_id AND approved.event = 'approve_refund'
  LEFT JOIN invoice_log settled ON settled.org_id = i.org_id
       AND settled.invoice_id = i.invoice_id AND settled.event = 'refund_settled'
 WHERE jsonb_typeof(i.detail -> 'refund') = 'object';

INSERT INTO refund_amount (org_id, refund_id, position, chain, contract, amount_units)
SELECT r.org_id, r.refund_id, row_number() OVER (PARTITION BY r.org_id, r.refund_id
           ORDER BY m.leg) - 1, m.chain, m.contract, m.amount_units
  FROM refund r
  JOIN move m ON m.org_id = r.org_id AND m.invoice_id = r.invoice_id AND m.purpose = 'refund'
UNION ALL
SELECT r.org_id, r.refund_id, p.position, p.chain, p.contract, sum(t.amount_units)
  FROM refund r
  JOIN invoice i USING (org_id, invoice_id)
  JOIN payment_request p USING (org_id, invoice_id)
  JOIN transfer t ON t.org_id = p.org_id AND t.invoice_id = p.invoice_id AND t.chain = p.chain
       AND t.contract = p.contract AND t.depth = 3
       AND t.amount_units >= 1e6 * coalesce((i.detail #>> '{policy,dust_below}')::numeric, 0.01)
 WHERE r.status = 'pending'
 GROUP BY r.org_id, r.refund_id, p.position, p.chain, p.contract;
