"""What is computed once and kept on disk, by content: decoded files, and encodings of frozen encoders."""
