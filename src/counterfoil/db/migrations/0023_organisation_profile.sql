-- What an organisation says about itself on its invoices, and where its money may go.
CREATE TABLE org_profile (
    org_id       bigint NOT NULL PRIMARY KEY REFERENCES org,
    email        text NOT NULL,
    address      text NOT NULL,
    tax_number   text NOT NULL,
    logo_file_id uuid,
    FOREIGN KEY (org_id, logo_file_id) REFERENCES file
);

-- Added by one, approved by another, and good only after a while. Never changed into another one.
CREATE TABLE payout_address (
    org_id            bigint NOT NULL REFERENCES org,
    payout_address_id uuid NOT NULL,
    family            text COLLATE "C" NOT NULL,
    address           text COLLATE "C" NOT NULL,
    label             text NOT NULL,
    added_by          text COLLATE "C" NOT NULL,
    added_at          timestamptz NOT NULL,
    approved_by       text COLLATE "C" CHECK (approved_by <> added_by),
    approved_at       timestamptz,
    usable_at         timestamptz,
    removed_at        timestamptz,
    PRIMARY KEY (org_id, payout_address_id)
);
CREATE UNIQUE INDEX payout_address_once ON payout_address (org_id, family, address)
    WHERE removed_at IS NULL;
