"""
### Load events

Takes every event that arrives in `raw/` to Redshift: claims the new objects as one batch per feed, cleans each batch into
Parquet, and loads it in one transaction.

- **Runs** when raw objects arrive: the triggerer watches the queue, without a task that waits, and tells the asset
  `ecommerce_raw_objects`. Two runs at a time, so that the next objects are claimed while those before are loaded. Set
  `ECOMMERCE_LOAD_EVENTS_SCHEDULE` to a cron expression to load at fixed times instead.
- **Works on** what has arrived by now, not on a data interval.
- **Cleans** with DuckDB in the task; a batch of more than `ECOMMERCE_GLUE_THRESHOLD_BYTES` with Spark on Glue, with the same
  result.
- **Reads** the queue of new raw objects and `raw/`. **Writes** `manifests/`, `clean/`, `published/`, `quarantine/`, the feed's tables
  in `core`, `ops.batch_audit` and `ops.batch_object`; publishes the asset `ecommerce_warehouse` with the batch's counts.

#### What to press after a failure
Nothing has to be pressed: a failed task is retried, and a batch that a run leaves behind is taken up again by a later run,
from its manifest, after `ECOMMERCE_OPEN_BATCH_RETRY_SECONDS`. Nothing is loaded twice, whatever you clear, and the batches
of the other feeds are loaded meanwhile. When a task is red for good, read its last line: it names the file, statement or
column and what to change. Mend that, then **clear the red task**, or let a later run do it.

Bad records do not turn a run red: they are in `quarantine/` with their reasons, and are counted in `ops.batch_audit`.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag, task
from ecommerce_elt.dag_defaults import RAW_OBJECTS, Stage, Tag, default_args
from ecommerce_elt.load_operators import load_batches
from ecommerce_elt.settings import settings

SCHEDULE = settings().load_events_schedule


@dag(
    schedule=[RAW_OBJECTS] if SCHEDULE == "@arrival" else SCHEDULE,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=2,
    default_args=default_args(Stage.LOAD),
    doc_md=__doc__,
    tags=[Tag.LOAD, Tag.CLEAN],
)
def load_events():
    @task
    def claim_batches() -> list[str]:
        from ecommerce_elt.steps import claim_batches

        return claim_batches()

    load_batches(claim_batches())


load_events()
