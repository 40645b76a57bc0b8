"""Published systems, one paper per file: what each claims, and a protocol that tries the claim on this machine."""
