"""Choice of a batch from a scored pool."""
