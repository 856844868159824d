"""A stand-in for Amazon Redshift Serverless: the Data API's JSON protocol over DuckDB.

It keeps what bites on the real one, and refuses what the real one refuses. What it lacks raises the service's error,
never a made-up success. Known differences: trailing blanks count when strings are compared, LISTAGG works without a user
table, and DECIMAL division goes through DOUBLE.
"""
