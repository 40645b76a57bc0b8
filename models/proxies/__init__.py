"""Surrogates of an expensive measurement."""
