"""
### Build marts

Brings the dimensions in `core` and the tables of `mart` up to what was loaded: computes the days, weeks, months, quarters
and seasons that changed, checks the new rows, and replaces the old ones in one transaction a mart.

- **Runs** when load_events has loaded a batch (asset `ecommerce_warehouse`), and waits first, without a worker slot, until the
  last publication is `ECOMMERCE_MARTS_MIN_INTERVAL_SECONDS` ago: the loads come first. Batches that are loaded during the wait
  belong to the run, later ones trigger the next. A run that you trigger does not wait, and ends the wait of the one before it.
- **Works on** whatever changed since each mart was published (`ops.stale_date`), not on a data interval. With the parameter
  `rebuild` all marts are computed from nothing; the content is the same.
- **Reads** `core`. **Writes** the dimensions in `core`, `mart`, `ops.check_results` and `ops.mart_build`; publishes the asset
  `ecommerce_marts` with what was built.

#### What to press after a failure
A mart whose checks of severity `fail` found rows keeps its rows of before, and the task turns red; the log and
`ops.check_results` say which check found what. Mend the data or the SQL, then **clear the red task**. The marks of what
changed stay until a mart is published, so nothing is forgotten if you do nothing: the next run tries again. Other failures
are retried by themselves. Docs: `docs/runbooks/check-failed.md`.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import Param, dag, get_current_context
from ecommerce_elt.alerts import deadline
from ecommerce_elt.dag_defaults import MARTS, WAREHOUSE, Stage, Tag, default_args
from ecommerce_elt.links import linked_task
from ecommerce_elt.mart_operators import FindStaleSubjectsOperator
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
    params={"rebuild": Param(False, type="boolean", description="Compute all marts from nothing.")},
)
def build_marts():
    @linked_task
    def build_dimensions() -> dict[str, object]:
        from ecommerce_elt.mart_steps import build_dimensions

        return build_dimensions()

    @linked_task(map_index_template="{{ subject }}", outlets=[MARTS], multiple_outputs=False)
    def build_subject(subject: str, *, outlet_events=None) -> dict[str, object]:
        from ecommerce_elt.mart_steps import build_subject

        get_current_context()["subject"] = subject  # type: ignore[typeddict-unknown-key]  # for map_index_template
        built = build_subject(subject)
        outlet_events[MARTS].extra = {"subject": subject, "marts": built}
        return built

    subjects = FindStaleSubjectsOperator(task_id="find_stale_subjects")
    subjects >> (dimensions := build_dimensions())
    dimensions >> build_subject.expand(subject=subjects.output)


build_marts()
