"""One file per kind of effect: do it outside, tell the desk the fact."""
