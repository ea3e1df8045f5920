-- Invoices that have a part of their money, or are being judged, and whose time to pay is about to end.
CREATE INDEX invoice_due_in_part ON invoice (deadline_at)
    WHERE status IN ('payment_detected', 'screening', 'compliance_hold', 'resolution_required',
                     'refund_pending', 'refund_processing');
