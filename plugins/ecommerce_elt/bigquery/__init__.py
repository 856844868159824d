"""The export of marts to BigQuery."""
