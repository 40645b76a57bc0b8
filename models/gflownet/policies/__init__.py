"""Networks that map states to action distributions."""
