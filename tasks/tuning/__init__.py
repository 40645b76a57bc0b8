"""Tuning of samplers and proxies: the search, the proof, and the comparison, each kept in the workspace."""
