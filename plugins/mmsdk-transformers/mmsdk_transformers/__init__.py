"""Pre-trained models of Hugging Face transformers for mmsdk."""
