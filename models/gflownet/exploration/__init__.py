"""Exploration and replay."""
