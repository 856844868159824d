"""### Watch landing

Waits for files in `landing/<feed>/` and starts runs of `load_history`: one run for a large file, or
one for several small files of a feed.

- **Runs** continuously: when a run ends, the next one starts and waits, deferred. A run that has
  waited six hours without a file is skipped completely: its column in the grid is pink.
- **Works on** the files that are there now, not on a data interval.
- **Reads** the listing of `landing/`. A file is new if there is no report beside it. A replaced
  file is new again. **Writes** a report for a file whose run left none.

#### What to press after a failure

Look at the red run of `load_history`; the log of `load_file` in this DAG names it. In this DAG you
do not have to do anything.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import dag
from ecommerce_elt.airflow.defaults import Stage, Tag, default_args
from ecommerce_elt.landing.sensors import LandedFilesSensor
from ecommerce_elt.landing.tasks import report_unfinished_files
from ecommerce_elt.load.operators import LoadFileOperator
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
        group_bytes=settings().landing_group_bytes,
        poke_interval=settings().landing_poll_seconds,
        timeout=IDLE.total_seconds(),
        execution_timeout=IDLE + timedelta(minutes=5),
    )
    files = wait.output
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
    loads >> report_unfinished_files(files)


watch_landing()
