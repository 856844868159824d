"""The warehouse: the Data API, its tables, roles and migrations."""
