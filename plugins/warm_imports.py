"""Airflow imports this file in the process from which it forks tasks: DuckDB, pyarrow, pandas, sqlglot and Airflow's operators
are imported once, and the cleaning's SQL is rendered once.

Without it each task does so anew, and an event takes seconds more from put to queryable (`make benchmark`).
The package itself is in .airflowignore: Airflow would import every module of it as a plugin.
"""

from contextlib import suppress

import ecommerce_elt.load.batch_load
import ecommerce_elt.load.operators
import ecommerce_elt.load.tasks  # noqa: F401
from ecommerce_elt.cleaning.cleaner import render
from ecommerce_elt.settings import settings

with suppress(ImportError):  # MWAA has none
    import pandas  # noqa: F401  # pyarrow looks for it when a process makes its first array

render(settings())
