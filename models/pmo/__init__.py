"""The tasks of PMO, practical molecular optimisation: 23 scores of molecules in [0, 1] without service or download."""
