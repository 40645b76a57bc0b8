"""What a molecule is: standard form, bounds, descriptors, fragments, drawing."""
