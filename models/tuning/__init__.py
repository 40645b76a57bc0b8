"""Choosing options: search spaces, members that are trained with them, and the ways to search."""
