"""Sources of candidates under one Generator protocol."""
