"""Reasons to refuse a candidate before it is bought."""
