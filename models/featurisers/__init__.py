"""Featurisers: numbers for molecules, sequences and arrays, chosen by name."""
