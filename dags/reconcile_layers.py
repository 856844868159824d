"""### Reconcile layers

Checks that everything that arrived is in every layer, once. The DAG counts every layer
independently and compares the counts: the records of the stream, the lines in `raw/`, the events
that the loads committed, the rows in quarantine, Firehose's rows, DynamoDB's items, and BigQuery's
tables if they are exported. It compares the lake's files with core row by row.

- **Runs** every 15 minutes (`ECOMMERCE_RECONCILE_SCHEDULE`), and whenever it is triggered.
- **Works on** the hours of arrival that are not sealed, on the days whose events changed, and in
  turn on some other days. A past hour whose counts agree is sealed; it is counted again only if
  another object arrives. docs/adr/0022.
- **Reads** all layers. **Writes** `ops.reconciliation`, `ops.reconciled_day`, `ops.exported_table`,
  metrics in the namespace `<prefix>`, and its counts in `manifests/reconcile/`.

A difference turns `report_differences` red; its message names the layer, the hour or day, objects and event ids.
Delays turn it red as well: a batch that is not committed, a consumer of the stream that is too far
behind, or a feed that is silent for longer than its contract allows.

#### What to press after a failure

Read the last line of `report_differences`. The runbook [layers differ](/ecommerce/runbooks/layers-differ)
explains each difference and its fix. Then **trigger the DAG**, which compares the differing hours
and days again. If `reconcile_feed` or `reconcile_bigquery` is red, it could not count: clear it.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag
from ecommerce_elt.airflow.alerts import deadline
from ecommerce_elt.airflow.defaults import Stage, Tag, default_args
from ecommerce_elt.bigquery.tasks import reconcile_bigquery
from ecommerce_elt.reconcile.tasks import find_feeds, reconcile_feed, report_differences
from ecommerce_elt.settings import settings


@dag(
    schedule=settings().reconcile_schedule,
    catchup=False,
    max_active_runs=1,
    max_active_tasks=2,  # the loads come first
    default_args=default_args(Stage.RECONCILE, execution_timeout=timedelta(hours=1)),
    deadline=deadline(Stage.RECONCILE, minutes=30),
    doc_md=__doc__,
    tags=[Tag.WATCH],
)
def reconcile_layers():
    [reconcile_feed.expand(feed=find_feeds()), reconcile_bigquery()] >> report_differences()


reconcile_layers()
