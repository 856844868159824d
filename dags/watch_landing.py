"""
### Watch landing

Waits for files in `landing/<feed>/` and starts runs of `load_history`: one for a large file, one for several small ones of a feed.

- **Runs** continuously: when a run ends, the next one starts and waits, deferred.
- **Works on** what lies there now, not on a data interval.
- **Reads** the listing of `landing/`. A file is new when there is no report beside it; a file that is replaced is new again.
  **Writes** a report for a file whose run left none.

#### What to press after a failure
Look at the red run of `load_history`: its name is in the log of `load_file` here. Nothing has to be pressed in this DAG.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import dag, task
from ecommerce_elt.dag_defaults import Stage, Tag, default_args
from ecommerce_elt.load_operators import LoadFileOperator
from ecommerce_elt.sensors import LandedFilesSensor
from ecommerce_elt.settings import settings

IDLE = timedelta(hours=6)


@dag(
    schedule="@continuous",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(Stage.LOAD),
    doc_md=__doc__,
    tags=[Tag.LOAD],
)
def watch_landing():
    wait = LandedFilesSensor(
        task_id="wait_for_landed_files",
        bucket=settings().bucket,
        poke_interval=settings().landing_poll_seconds,
        timeout=IDLE.total_seconds(),
        execution_timeout=IDLE + timedelta(minutes=5),
    )

    @task
    def find_files() -> list[dict[str, object]]:
        from ecommerce_elt.steps import find_landed_files

        return find_landed_files()

    @task(trigger_rule="all_done")
    def settle(files: list[dict[str, object]] | None) -> int:
        from ecommerce_elt.steps import settle_landed_files

        return settle_landed_files(files or [])  # none where find_files was skipped

    files = find_files()
    loads = LoadFileOperator.partial(
        task_id="load_file",
        trigger_dag_id="load_history",
        map_index_template="{{ task.conf['key'] }}{{ ' and %d more' % (task.conf['more'] | length) if 'more' in task.conf }}",
        skip_when_already_exists=True,
        wait_for_completion=True,
        deferrable=True,
        poke_interval=settings().landing_poll_seconds,
        # A load that failed is red itself, and alerts; the next file must not wait for it.
        allowed_states=["success", "failed"],
        failed_states=[],
        execution_timeout=timedelta(days=1),
    ).expand_kwargs(files)
    wait >> files
    loads >> settle(files)


watch_landing()
