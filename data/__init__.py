"""VALUES: campaign schema, records, ledger, molecules, tables and shipped resources."""
