"""A stand-in for Amazon Redshift Serverless: the Data API's JSON protocol over DuckDB.

It implements the behavior of Redshift that causes problems in practice, and refuses what Redshift refuses. An
unsupported feature raises an error of the service and never reports a false success. docs/local-redshift.md lists the
differences that are not refused.
"""
