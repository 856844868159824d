"""The stand-in's PostgreSQL endpoint: what psql, drivers, BI tools and dbt connect to on Redshift's port 5439.

The frontend/backend protocol, version 3 (PostgreSQL documentation, chapter 54), over the engine's sessions.
"""
