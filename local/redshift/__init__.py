"""A stand-in for Amazon Redshift Serverless: the Data API's JSON protocol over DuckDB.

It keeps what bites on the real one, and refuses what the real one refuses. What it lacks raises the service's error,
never a made-up success. What differs and is not refused: docs/local-redshift.md.
"""
