"""The rows of one file, predicted or embedded by several processes."""
