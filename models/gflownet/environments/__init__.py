"""State spaces as batched tensors."""
