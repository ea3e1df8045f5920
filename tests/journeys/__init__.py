"""A package only so that what its tests share ends with the last of them."""
