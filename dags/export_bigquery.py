"""### Export BigQuery

Copies the changes of the marts and dimensions to BigQuery. The DAG unloads the changed periods as
Parquet, copies the files to Cloud Storage, loads them into staging tables, and replaces the old
rows of all tables in one transaction.

- **Runs** when `build_marts` has published marts (asset `ecommerce_marts`), at most every
  `ECOMMERCE_BIGQUERY_INTERVAL_MINUTES`, and hourly for changes that were not due. A run that you
  trigger does not wait. Without `ECOMMERCE_BIGQUERY_PROJECT` the DAG has no schedule, and a run
  that you trigger is skipped with a message.
- **Works on** the periods that were published since the last export (`ops.stale_date`), not on a
  data interval. A table that BigQuery lacks, or that differed, is copied completely.
- **Reads** `mart` and the dimensions of `core`. **Writes** the data sets `<prefix>_mart` and
  `<prefix>_core` in BigQuery, `ops.exported_table`, and, during a run, `bigquery/` in the lake,
  the bucket in Cloud Storage and `<prefix>_staging`.

`compare_tables` compares the rows and sums of each table with those of the warehouse at the time of
the export, and turns red if they differ. `reconcile_layers` compares all tables again every 15
minutes.

#### What to press after a failure

**Clear the red task**; every task is idempotent. Until `swap_in` is green, BigQuery keeps its
previous rows. If you do nothing, the next run copies all changes. If `swap_in` says that a later
export has claimed the data set, **clear the run from unload_tables on**. If `compare_tables` is
red, **trigger the DAG**, which copies the differing tables completely. Runbook:
[bigquery differs](/ecommerce/runbooks/bigquery-differs).
"""

from __future__ import annotations

from airflow.sdk import dag
from ecommerce_elt.airflow.alerts import deadline
from ecommerce_elt.airflow.defaults import MARTS, Stage, Tag, cron_or, default_args
from ecommerce_elt.bigquery.tasks import (
    compare_tables,
    copy_files,
    find_tables,
    load_tables,
    remove_files,
    swap_in,
    unload_tables,
)
from ecommerce_elt.settings import settings


@dag(
    schedule=cron_or(MARTS, settings().bigquery_catch_up_cron) if settings().bigquery_project else None,
    catchup=False,
    max_active_runs=1,
    max_active_tasks=2,  # the loads come first
    default_args=default_args(Stage.BIGQUERY),
    deadline=deadline(Stage.BIGQUERY, minutes=60),
    doc_md=__doc__,
    tags=[Tag.DASHBOARD],
)
def export_bigquery():
    export = unload_tables(find_tables())
    copy_files(export) >> load_tables(export) >> (swapped := swap_in(export))
    swapped >> [compare_tables(export), remove_files(export)]


export_bigquery()
