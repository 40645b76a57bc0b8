"""Denoising diffusion of molecular graphs, a plug-in of discovery-flows."""
