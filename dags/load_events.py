"""### Load events

Loads every event that arrives in `raw/` into Redshift. The DAG claims the new objects as one batch
for each feed, cleans each batch into Parquet, and loads it in one transaction.

- **Runs** when raw objects arrive. The triggerer watches the queue, so that no task has to wait,
  and updates the asset `ecommerce_raw_objects`. Two runs may be active, so that the next objects
  are claimed while earlier ones are loaded. Set `ECOMMERCE_LOAD_EVENTS_SCHEDULE` to a cron
  expression to load at fixed times instead.
- **Works on** the objects that have arrived so far, not on a data interval. A run that finds
  nothing to claim is skipped completely: its column in the grid is pink. Runs that loaded are
  green.
- **Cleans** with DuckDB in the task. A batch of more than `ECOMMERCE_GLUE_THRESHOLD_BYTES` is
  cleaned with Spark on Glue, with the same result.
- **Reads** the queue of new raw objects and `raw/`. **Writes** `manifests/`, `clean/`,
  `published/`, `quarantine/`, the feed's tables in `core`, `ops.batch_audit` and
  `ops.batch_object`; publishes the asset `ecommerce_warehouse` with the batch's counts.

#### What to press after a failure

You do not have to do anything: a failed task is retried. A later run takes up an unfinished batch
from its manifest after `ECOMMERCE_OPEN_BATCH_RETRY_SECONDS`. Nothing is loaded twice, whatever you
clear, and the batches of other feeds are loaded in the meantime. If a task stays red, its last line
names the file, statement or column and what to change. Fix that, then **clear the red task**, or
wait for a later run.

Bad records do not turn a run red. They are in `quarantine/` with their reasons, and
`ops.batch_audit` counts them.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag
from ecommerce_elt.airflow.defaults import Stage, Tag, default_args
from ecommerce_elt.load.assets import RAW_OBJECTS
from ecommerce_elt.load.operators import load_batches
from ecommerce_elt.load.tasks import claim_batches
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
    load_batches(claim_batches())


load_events()
