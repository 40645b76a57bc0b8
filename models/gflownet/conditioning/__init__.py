"""What a reward may depend on besides the object: inverse temperature, preferences."""
