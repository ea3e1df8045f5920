"""Where risk about addresses comes from."""
