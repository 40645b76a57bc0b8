"""Rewards of objects."""
