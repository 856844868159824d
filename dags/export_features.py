"""### Export features

Makes data sets for machine learning, as versioned Parquet in the lake. One has a row for each
customer and cut-off, with the label "buys again within 30 and 90 days", and the other a row for
each product and week. Features use only the days before a cut-off, labels only the days after it.
No row contains personal data. docs/features.md describes each column, and how to read the data with
pandas, TensorFlow and scikit-learn.

- **Runs** daily (`ECOMMERCE_FEATURES_SCHEDULE`), by hand for your own cut-offs, and for
  `erase_customer`.
- **Works on** the last Mondays with complete labels, or on the parameter `cut_offs`, not on a data
  interval. The last cut-off is the test part, the one before it the validation part, and the
  others are the training part.
- **Reads** `core.sales_line`: the sales of every feed, separately for each feed and currency.
  **Writes** `features/` in the lake: Parquet, schema and scalers, and last the manifest that
  makes them a version. The same rows and cut-offs give the same version, and nothing new is
  written. Versions other than the latest are deleted after `ECOMMERCE_FEATURES_RETENTION_DAYS`.

If the data cover too few days for three cut-offs, the run is skipped and says how many days it
needs.

#### What to press after a failure

**Clear the red task.** Files of a failed run are not a version, and are deleted a day later. A red
`choose_cut_offs` names the cut-off that does not fit: trigger the DAG with another one. Runbook:
[no new features](/ecommerce/runbooks/no-new-features).
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag
from ecommerce_elt.airflow.alerts import deadline
from ecommerce_elt.airflow.defaults import Stage, Tag, default_args
from ecommerce_elt.features.tasks import choose_cut_offs, export_version, remove_old_versions
from ecommerce_elt.settings import settings


@dag(
    schedule=settings().features_schedule,
    catchup=False,
    max_active_runs=1,  # an erasure counts on it: no run that began before it ends after it
    max_active_tasks=1,  # the loads come first
    default_args=default_args(Stage.FEATURES, execution_timeout=timedelta(hours=2)),
    deadline=deadline(Stage.FEATURES, minutes=180),
    doc_md=__doc__,
    tags=[Tag.FEATURES],
    params={
        "cut_offs": Param(
            [],
            type="array",
            items={"type": "string", "format": "date"},
            description="At least three days in ascending order. If empty, the last days with complete labels.",
        ),
        "horizon_days": Param(
            90, enum=[30, 90], description="Days that labels look ahead, and days between the parts."
        ),
        "remove_others": Param(
            False,
            type="boolean",
            description="Delete all other versions, because a customer in them was erased.",
        ),
    },
)
def export_features():
    export_version(choose_cut_offs()) >> remove_old_versions()


export_features()
