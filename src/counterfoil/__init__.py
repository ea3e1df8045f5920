"""Counterfoil: invoices that are approved, paid on chain, signed for, settled, and provable."""
