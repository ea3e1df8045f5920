"""Chains, tokens and people to try everything with; never imported by the rest."""
