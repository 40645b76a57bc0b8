"""Files shipped with the project, each with its provenance."""
