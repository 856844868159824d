"""
### Reconcile layers

Counts every layer by means of its own, and compares: what the stream counted, lines in `raw/`, what the loads committed, rows in
quarantine, the lake's files against core row by row, Firehose's rows and DynamoDB's items. Is what arrived there, once, everywhere?

- **Runs** every 15 minutes (`ECOMMERCE_RECONCILE_SCHEDULE`), and whenever it is triggered.
- **Works on** the hours of arrival that are not sealed, and the days of events that changed or whose turn it is. An hour that is over
  and agrees is sealed: it is counted again only where an object came since. docs/adr/0022.
- **Reads** all layers. **Writes** `ops.reconciliation`, `ops.reconciled_day`, metrics in the namespace `<prefix>`, and what it
  counted, in `manifests/reconcile/`.

A difference turns `judge` red; its message names layer, hour or day, objects and event ids. So does what is late: a batch that is
not committed, a consumer that reads the stream too late, a feed that is silent for longer than its contract says.

#### What to press after a failure
Read the last line of `judge`; docs/runbooks/layers-differ.md says what each difference means, and what mends it. Then **trigger the
DAG**: what differed is compared again. A red `reconcile_feed` could not count: clear it.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, get_current_context, task
from ecommerce_elt.alerts import deadline
from ecommerce_elt.dag_defaults import Stage, Tag, default_args
from ecommerce_elt.settings import settings
from more_itertools import always_iterable


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
    @task
    def find_feeds() -> list[str]:
        from ecommerce_elt.steps import reconcile_feeds

        return reconcile_feeds()

    @task(map_index_template="{{ task.op_kwargs['feed'] }}", multiple_outputs=False)
    def reconcile_feed(feed: str) -> dict[str, object]:
        from ecommerce_elt.steps import reconcile_feed

        return reconcile_feed(feed)

    @task(trigger_rule="all_done", multiple_outputs=False)
    def judge() -> dict[str, int]:
        from ecommerce_elt.steps import judge

        ti = get_current_context()["ti"]
        asked = ti.xcom_pull(task_ids="find_feeds") or []
        results = [r for r in always_iterable(ti.xcom_pull(task_ids="reconcile_feed"), base_type=dict) if r]
        return judge(results, complete=bool(asked) and len(results) == len(asked))

    reconcile_feed.expand(feed=find_feeds()) >> judge()


reconcile_layers()
