-- Lists by due date never fetch what they skip: the context stands in the index by itself, too, since
-- no query is answered from an index that has a column in an expression only.
CREATE INDEX invoice_by_due_date
    ON invoice (org_id, status, coalesce(context, ''), deadline_at, invoice_id)
    INCLUDE (archived, settlement, context);
DROP INDEX invoice_by_due;
