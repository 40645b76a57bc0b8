"""Trying the claims of published systems."""
