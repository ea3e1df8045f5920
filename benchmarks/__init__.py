"""Measurements of the whole running system, each beside its floor in the same run."""
