"""Shared by all DAGs: defaults, alerts, links, lineage, and the clients of a running task."""
