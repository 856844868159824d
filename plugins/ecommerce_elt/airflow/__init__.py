"""What every DAG shares: defaults, alerts, links, lineage, and the clients of a running task."""
