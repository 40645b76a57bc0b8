"""MATHEMATICS: torch, RDKit and numpy components, testable with no service."""
