"""One file per set of tables: its SQL as plain functions, nothing else."""
