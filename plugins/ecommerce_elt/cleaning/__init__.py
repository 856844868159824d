"""The cleaning of a batch with SQL generated from the contract, on DuckDB in a task or on Spark."""
