"""Layers that built-in encoders and fusions share."""
