"""The stand-in's PostgreSQL endpoint, to which psql, drivers, BI tools and dbt connect on Redshift's port 5439.

It implements the frontend/backend protocol, version 3 (PostgreSQL documentation, chapter 54), on the engine's sessions.
"""
