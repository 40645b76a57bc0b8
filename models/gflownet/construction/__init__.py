"""How objects of a space are built step by step."""
