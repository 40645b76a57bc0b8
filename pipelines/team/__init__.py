"""A team's services: MLflow, Prefect and the REST interface, kept running by one command."""
