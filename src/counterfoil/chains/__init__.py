"""Nodes and the chains behind them; no database, no keys."""
