"""Trained pipelines as graphs that run without the code that made them."""
