"""The deciding core: pure values and functions, standard library only."""
