-- Which files a key that is bound to a client id may have: those that were uploaded with such a key,
-- and those that belong to invoices, or to refunds of invoices, which were made with that client id.
CREATE TABLE client_file (
    org_id    bigint NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    file_id   uuid NOT NULL,
    PRIMARY KEY (org_id, client_id, file_id)
);
INSERT INTO client_file
SELECT f.org_id, i.detail ->> 'client_id', f.file_id
  FROM invoice AS i
  JOIN file AS f ON f.org_id = i.org_id
       AND f.file_id = (i.detail -> 'document' ->> 'attachment_file_id')::uuid
 WHERE i.detail ->> 'client_id' IS NOT NULL
 UNION
SELECT f.org_id, i.detail ->> 'client_id', f.file_id
  FROM refund AS r
  JOIN invoice AS i USING (org_id, invoice_id)
  JOIN file AS f ON f.org_id = r.org_id AND f.file_id = ANY (r.attachment_file_ids)
 WHERE i.detail ->> 'client_id' IS NOT NULL;
