"""WHEN: Prefect flows, schedules and the command line."""
