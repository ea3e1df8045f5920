"""Every other outsider: rates, screening."""
