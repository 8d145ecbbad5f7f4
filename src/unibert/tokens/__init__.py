"""The corpus as token ids, and the batches drawn from them: store, language mixture, masking."""
