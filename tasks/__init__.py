"""EFFECTS: one Prefect task per stage; the ledger, MLflow, files and oracle calls."""
