"""Airflow imports this file in the process from which it forks tasks, so that DuckDB, pyarrow and sqlglot are imported once.

Without it each task imports them anew, and an event takes 8 seconds from put to queryable instead of 4 (`make benchmark`).
The package itself is in .airflowignore: Airflow would import every module of it as a plugin.
"""

import ecommerce_elt.steps  # noqa: F401
