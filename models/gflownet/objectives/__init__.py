"""Losses: one paper, one file."""
