"""Config classes of the built-in components; no torch."""
