-- One database for each server and for the ledger: psql -U postgres -f databases.sql, after CREATE ROLE discovery LOGIN PASSWORD '...'
CREATE DATABASE discovery_ledger OWNER discovery;
CREATE DATABASE discovery_mlflow OWNER discovery;
CREATE DATABASE discovery_mlflow_users OWNER discovery;
CREATE DATABASE discovery_prefect OWNER discovery;
