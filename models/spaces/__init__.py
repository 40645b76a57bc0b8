"""Kinds of objects: one file each; only this room knows what the text of an object means."""
