"""The cleaning of a batch: typed SQL from the contract, on DuckDB in a task or on Spark."""
