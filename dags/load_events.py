"""
### Load events

Takes every event that arrives in `raw/` to Redshift: waits for new objects, claims them as one batch per feed, cleans
each batch into Parquet, and loads it in one transaction.

- **Runs** continuously: when a run ends, the next one starts and waits, deferred, for the next object. Set
  `ECOMMERCE_LOAD_EVENTS_SCHEDULE` to a cron expression to load at fixed times instead.
- **Works on** what has arrived by now, not on a data interval.
- **Reads** the queue of new raw objects and `raw/`. **Writes** `manifests/`, `clean/`, `quarantine/`, the feed's tables in
  `core`, `ops.batch_audit` and `ops.batch_object`; publishes the asset `ecommerce_warehouse` with the batch's counts.

#### What to press after a failure
Nothing has to be pressed: a failed task is retried, and a batch that a run leaves behind is taken up again by a later run,
from its manifest, after `ECOMMERCE_OPEN_BATCH_RETRY_SECONDS`. Nothing is loaded twice, whatever you clear, and the batches
of the other feeds are loaded meanwhile. When a task is red for good, read its last line: it names the file, statement or
column and what to change. Mend that, then **clear the red task**, or let a later run do it.

Bad records do not turn a run red: they are in `quarantine/` with their reasons, and are counted in `ops.batch_audit`.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from airflow.sdk import dag, get_current_context, task, task_group
from ecommerce_elt.dag_defaults import DEFAULT_ARGS, WAREHOUSE, Tag
from ecommerce_elt.sensors import RawObjectsSensor
from ecommerce_elt.settings import settings

FEED_NAME = "{{ feed }}"
IDLE = timedelta(minutes=settings().load_events_idle_minutes)


def _show_feed(feed: str) -> None:
    get_current_context()["feed"] = feed  # type: ignore[typeddict-unknown-key]  # for map_index_template


@dag(
    schedule=settings().load_events_schedule,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=[Tag.LOAD, Tag.CLEAN],
)
def load_events():
    wait = RawObjectsSensor(
        task_id="wait_for_raw_objects",
        bucket=settings().bucket,
        queue_name=settings().raw_objects_queue,
        poll_interval_seconds=settings().poll_interval_seconds,
        open_batch_retry_seconds=settings().open_batch_retry_seconds,
        timeout=IDLE.total_seconds(),
        execution_timeout=IDLE + timedelta(minutes=5),
    )

    @task
    def claim_batches() -> list[str]:
        from ecommerce_elt.steps import claim_batches

        return claim_batches()

    @task_group
    def load_feed(batch_id: str):
        @task(map_index_template=FEED_NAME, multiple_outputs=False)
        def clean_batch(batch_id: str) -> dict[str, object]:
            from ecommerce_elt.steps import clean_batch

            cleaned = clean_batch(batch_id)
            _show_feed(cleaned.feed)
            return asdict(cleaned)

        @task(map_index_template=FEED_NAME, outlets=[WAREHOUSE], multiple_outputs=False)
        def load_batch(cleaned: dict[str, object], *, outlet_events=None) -> dict[str, int]:
            from ecommerce_elt.steps import load_batch

            _show_feed(str(cleaned["feed"]))
            counts = load_batch(cleaned)
            outlet_events[WAREHOUSE].extra = {"batch_id": cleaned["batch_id"], "feed": cleaned["feed"], **counts}
            return counts

        load_batch(clean_batch(batch_id))

    batches = claim_batches()
    wait >> batches
    load_feed.expand(batch_id=batches)


load_events()
