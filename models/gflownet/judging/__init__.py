"""What a sampler's law is worth: exact and sampled."""
