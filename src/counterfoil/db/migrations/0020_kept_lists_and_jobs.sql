-- What members keep of the list of invoices, lists by due date, and work that outlasts a page.

CREATE TABLE saved_filter (
    org_id     bigint NOT NULL,
    member_id  uuid NOT NULL,
    name       text NOT NULL,
    query      text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, member_id, name),
    FOREIGN KEY (org_id, member_id) REFERENCES member
);

-- Which columns a member wants to see, in this order; those of everybody where there is no row.
CREATE TABLE list_columns (
    org_id    bigint NOT NULL,
    member_id uuid NOT NULL,
    columns   text[] NOT NULL,
    PRIMARY KEY (org_id, member_id),
    FOREIGN KEY (org_id, member_id) REFERENCES member
);

-- As invoice_by_standing, for lists by due date.
CREATE INDEX invoice_by_due
    ON invoice (org_id, status, coalesce(context, ''), deadline_at, invoice_id)
    INCLUDE (archived, settlement);

-- Work about many invoices that a member asked for: done in steps, left and found again.
CREATE TABLE job (
    org_id      bigint NOT NULL,
    job_id      uuid NOT NULL,
    member_id   uuid NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    asked       text NOT NULL,
    invoice_ids uuid[] NOT NULL,
    done        integer NOT NULL DEFAULT 0,
    error       text,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz,
    lease_until timestamptz,
    lease_token uuid,
    PRIMARY KEY (org_id, job_id),
    FOREIGN KEY (org_id, member_id) REFERENCES member
);
CREATE INDEX job_of_member ON job (org_id, member_id, created_at);
CREATE INDEX job_by_age ON job (created_at);

-- What each step brought; all parts one after the other are the result.
CREATE TABLE job_part (
    org_id   bigint NOT NULL,
    job_id   uuid NOT NULL,
    position integer NOT NULL,
    content  text NOT NULL,
    PRIMARY KEY (org_id, job_id, position),
    FOREIGN KEY (org_id, job_id) REFERENCES job ON DELETE CASCADE
);
