"""Denoisers: networks that tell what is noise in pictures, from the pictures, how noisy they are, and a condition."""
