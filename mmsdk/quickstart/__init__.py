"""The quickstart: the four steps of a multimodal pipeline on real handwritten digits, in the open."""
