"""### Build marts

Updates the dimensions in `core` and the tables of `mart` after a load. The DAG computes the days,
weeks, months, quarters and seasons that changed, checks the new rows, and replaces the old ones in
one transaction for each mart.

- **Runs** when `load_events` has loaded a batch (asset `ecommerce_warehouse`). The run first waits,
  without a worker slot, until the last publication is `ECOMMERCE_MARTS_MIN_INTERVAL_SECONDS` ago.
  Batches that are loaded during the wait belong to the run, and later ones trigger the next run.
  A run that you trigger does not wait, and ends the wait of an earlier run.
- **Works on** everything that changed since each mart was published (`ops.stale_date`), not on a
  data interval. The parameter `rebuild` computes all marts from core again; their content does
  not change.
- **Reads** `core`. **Writes** the dimensions in `core`, `mart`, `ops.check_results` and
  `ops.mart_build`; publishes the asset `ecommerce_marts` with what was built, once for all subjects.

#### What to press after a failure

If a check of severity `fail` finds rows, the mart keeps its previous rows and the task turns red.
The log and `ops.check_results` name the check and its findings. Fix the data or the SQL, then
**clear the red task**. If you do nothing, the next run tries again, because the changed days stay
marked until the mart is published. Other failures are retried automatically. Runbook:
[check failed](/ecommerce/runbooks/check-failed).
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, dag
from ecommerce_elt.airflow.alerts import deadline
from ecommerce_elt.airflow.defaults import WAREHOUSE, Stage, Tag, default_args
from ecommerce_elt.marts.operators import FindStaleSubjectsOperator
from ecommerce_elt.marts.tasks import build_dimensions, build_subject, publish_marts
from ecommerce_elt.settings import settings


@dag(
    schedule=[WAREHOUSE],
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=2,  # the loads come first
    default_args=default_args(Stage.MARTS),
    deadline=deadline(Stage.MARTS, minutes=30 + round(settings().marts_min_interval_seconds / 60)),
    doc_md=__doc__,
    tags=[Tag.MART],
    params={"rebuild": Param(False, type="boolean", description="Compute all marts from core again.")},
)
def build_marts():
    subjects = FindStaleSubjectsOperator(task_id="find_stale_subjects")
    subjects >> (dimensions := build_dimensions())
    # Airflow takes the state of a run from its last tasks. `publish_marts` succeeds although a subject failed.
    all_built = EmptyOperator(task_id="all_built", on_success_callback=None)
    dimensions >> build_subject.expand(subject=subjects.output) >> [publish_marts(), all_built]


build_marts()
