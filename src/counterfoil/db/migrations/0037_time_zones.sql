-- Whose days an organisation's documents bear. Whoever bills in Taiwan dollars is taken to be there.
ALTER TABLE org ADD COLUMN time_zone text COLLATE "C" NOT NULL DEFAULT 'UTC';
UPDATE org SET time_zone = 'Asia/Taipei'
 WHERE EXISTS (SELECT FROM bank_account
                WHERE bank_account.org_id = org.org_id AND currency = 'TWD')
    OR EXISTS (SELECT FROM (SELECT detail FROM invoice WHERE invoice.org_id = org.org_id
                             ORDER BY created_at DESC, invoice_id DESC LIMIT 100) AS newest
                WHERE detail->'price'->>'currency' = 'TWD');
