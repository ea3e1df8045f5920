"""PostgreSQL itself: pool, embedded server, migrations."""
