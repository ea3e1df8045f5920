"""The documented dialects, each a whole slice."""
