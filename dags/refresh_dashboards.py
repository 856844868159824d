"""### Refresh dashboards

Refreshes the BI tools: starts an ingestion for each QuickSight data set whose marts changed, and
writes a Tableau extract.

- **Runs** when `build_marts` has published marts (asset `ecommerce_marts`), and hourly for data
  sets that were not due.
- **Works on** the current marts, not on a data interval. A data set is due if its marts were
  published after its last refresh began, and at most every `ECOMMERCE_DASHBOARD_REFRESH_MINUTES`,
  because QuickSight allows 32 refreshes a day. A later run refreshes the data sets that are not
  due yet. A run that you trigger refreshes every data set that is behind.
- **Reads** `mart` and the dimensions. **Writes** the SPICE data of QuickSight's data sets, and
  `bi/tableau/ecommerce.hyper` in the lake, which is published to a Tableau server where one is
  configured.

#### What to press after a failure

Each data set and the extract has its own task, which is retried independently. If a task stays red,
its log has the error of the service. Fix the cause, then **clear the red task**. If you do nothing,
the next run refreshes every data set that is behind. This DAG does not change the warehouse.
Runbook: [dashboard is behind](/ecommerce/runbooks/dashboard-is-behind).
"""

from __future__ import annotations

from airflow.sdk import dag
from ecommerce_elt.airflow.alerts import deadline
from ecommerce_elt.airflow.defaults import MARTS, Stage, Tag, cron_or, default_args
from ecommerce_elt.airflow.versions import ingestion_waits
from ecommerce_elt.dashboards.operators import IngestDataSetOperator
from ecommerce_elt.dashboards.tasks import choose_data_sets, extract_for_tableau
from ecommerce_elt.settings import settings


@dag(
    schedule=cron_or(MARTS, settings().dashboard_catch_up_cron),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=2,  # the loads come first
    default_args=default_args(Stage.DASHBOARDS),
    deadline=deadline(Stage.DASHBOARDS, minutes=60),
    doc_md=__doc__,
    tags=[Tag.DASHBOARD],
)
def refresh_dashboards():
    IngestDataSetOperator.partial(
        task_id="ingest_data_set",
        map_index_template="{{ task.data_set_id }}",
        # A retry is an ingestion of its own: QuickSight refuses an id that it has seen.
        ingestion_id="{{ macros.uuid.uuid4() }}",
        **ingestion_waits(settings().dashboard_poll_seconds),
    ).expand(data_set_id=choose_data_sets())
    extract_for_tableau()


refresh_dashboards()
