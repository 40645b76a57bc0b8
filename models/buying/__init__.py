"""Which objects are bought at which level, where an objective is measured from cheap to true."""
