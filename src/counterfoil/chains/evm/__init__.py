"""Arbitrum, Base and Optimism, spoken to as plain JSON-RPC (specs/chains.md 9)."""
