"""Measurements by name."""
