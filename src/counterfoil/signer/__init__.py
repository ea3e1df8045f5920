"""Keys, alone, in a process of their own."""
