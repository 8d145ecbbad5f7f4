"""Token batches in, checkpoints and a finished Hugging Face folder out."""
