"""Use cases: every function is one transaction."""
