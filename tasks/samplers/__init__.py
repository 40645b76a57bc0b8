"""Training of samplers outside campaigns, and what is shown of it."""
