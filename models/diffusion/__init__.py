"""Diffusion samplers: laws over real vectors, reached from the origin in small Gaussian steps of a learnt drift."""
