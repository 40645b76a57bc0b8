"""The page of candidates, its tables and plots."""
