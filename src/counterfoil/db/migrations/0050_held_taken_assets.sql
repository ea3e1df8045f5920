-- Where the right token came after another had been signed for, the money was screened without that other, which counted
-- as strayed. It is money again (0049), so what is held is screened anew: nobody else would ask, and nobody may release
-- what was not wholly looked at.
INSERT INTO effect (org_id, effect_id, kind, invoice_id, due_at, created_at)
SELECT org_id, gen_random_uuid(), 'screen', invoice_id, now(), now()
  FROM invoice
 WHERE status = 'compliance_hold'
   AND EXISTS (SELECT FROM jsonb_array_elements_text(detail->'taken_assets') AS taken (asset)
                WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(detail->'screening'->'covers') AS covered (part)
                                   WHERE part->>0 = asset));
