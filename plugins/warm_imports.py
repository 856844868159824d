"""Airflow imports this file in the process from which it forks tasks: DuckDB, pyarrow and sqlglot are imported once, and the
cleaning's SQL is rendered once.

Without it each task does so anew, and an event takes seconds more from put to queryable (`make benchmark`).
The package itself is in .airflowignore: Airflow would import every module of it as a plugin.
"""

import ecommerce_elt.steps  # noqa: F401
from ecommerce_elt.cleaning import render
from ecommerce_elt.settings import settings

render(settings())
