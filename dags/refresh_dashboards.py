"""
### Refresh dashboards

Brings the BI tools up to the marts: an ingestion for each QuickSight data set whose marts changed, and a Tableau extract.

- **Runs** when build_marts has published marts (asset `ecommerce_marts`), and hourly for what was not due then.
- **Works on** the marts as they are now, not on a data interval. A data set is refreshed when its marts were published after
  its last refresh began, and at most every `ECOMMERCE_DASHBOARD_REFRESH_MINUTES`, because QuickSight takes 32 refreshes a
  day; what is not due now is taken along by a later run. A run that you trigger refreshes all that is behind.
- **Reads** `mart` and the dimensions. **Writes** the SPICE data of QuickSight's data sets, and `bi/tableau/ecommerce.hyper` in
  the lake, which is published to a Tableau server where one is configured.

#### What to press after a failure
Each data set and the extract are tasks of their own, retried alone, and none waits for another. When one is red for good,
its log has the service's reason. Mend that, then **clear the red task**; or do nothing: the next run refreshes what is
behind. The data in the warehouse is not touched by any of this. Docs: `docs/runbooks/dashboard-is-behind.md`.
"""

from __future__ import annotations

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, dag, task
from ecommerce_elt.alerts import deadline
from ecommerce_elt.dag_defaults import MARTS, Stage, Tag, default_args
from ecommerce_elt.links import IngestDataSetOperator, linked_task
from ecommerce_elt.settings import settings


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(settings().dashboard_catch_up_cron, timezone="UTC"), assets=[MARTS]
    ),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=2,  # the loads come first
    default_args=default_args(Stage.DASHBOARDS),
    deadline=deadline(Stage.DASHBOARDS, minutes=60),
    doc_md=__doc__,
    tags=[Tag.DASHBOARD],
)
def refresh_dashboards():
    @task
    def choose_data_sets() -> list[str]:
        from ecommerce_elt.mart_steps import choose_data_sets

        return choose_data_sets()

    @linked_task
    def extract_for_tableau() -> dict[str, int]:
        from ecommerce_elt.mart_steps import extract_for_tableau

        return extract_for_tableau()

    IngestDataSetOperator.partial(
        task_id="ingest_data_set",
        map_index_template="{{ task.data_set_id }}",
        # A retry is an ingestion of its own: QuickSight refuses an id that it has seen.
        ingestion_id="{{ macros.uuid.uuid4() }}",
        deferrable=True,
        waiter_delay=settings().dashboard_poll_seconds,
    ).expand(data_set_id=choose_data_sets())
    extract_for_tableau()


refresh_dashboards()
