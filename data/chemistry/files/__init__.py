"""Files of chemistry: SD files and lists of SMILES as rows of tables."""
