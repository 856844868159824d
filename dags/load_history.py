"""### Load history

Loads whole files from `landing/<feed>/`: CSV of any dialect, JSON, Parquet or workbooks, compressed
or not, or a zip of them. The first bytes of a file determine its format, as in the producer. The
header is validated first. Small files of a feed share a run and a batch, and each has its own
report. The events have the ids that a replay of the same file would give them. A file that is
loaded twice, or that was also streamed, is therefore in the warehouse once.

- **Runs** for the files that `watch_landing` finds, and by hand with a key. Set the other
  parameters if the file does not determine how to read it; the report of the failed file names
  them.
- **Works on** one file or several small ones, not on a data interval.
- **Reads** the files, which do not change. **Writes** `raw/` and everything that `load_events`
  writes. The last task writes a report beside each file: `<file>.<etag>.report.json`, with the
  counts and the line number of each rejected record.

**Rows under other ids.** If the feed identifies rows by their values, the run first counts the rows
that core already has under other ids, for example because the shop also streamed them. `on_known`
says what to do with them; by default the run stops and reports their number. They are counted over
all batches together. Several batches are therefore cleaned before, in a task each; a single batch
is cleaned by the task that counts.

**Replacing rows.** A row that was changed in the shop is a new row beside the old one.
`replace_by`, for example `invoice_no`, withdraws the rows of an invoice that core has and the file
lacks, after the load. A later file that contains them brings them back. `dry_run` reports what
would be withdrawn. Invoices that may be incomplete in the file are not changed, and the report
names them.

#### What to press after a failure

Read the report. A wrong file does not delay the other files of its run.

- If a parameter is missing, `run_again` in the report has the command: **trigger the DAG** with the
  key and the parameter.
- If a file is wrong, fix it and put it into `landing/` again; it gets its own run.
- If a batch could not be loaded, fix what the red task names, and **clear the red task** with its
  downstream tasks.

Runbook: [bad file in landing](/ecommerce/runbooks/bad-file-in-landing).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from airflow.sdk import AssetAlias, dag, get_current_context
from ecommerce_elt.airflow.defaults import WAREHOUSE, Stage, Tag, default_args
from ecommerce_elt.airflow.links import linked_task
from ecommerce_elt.batches.manifests import feed_of
from ecommerce_elt.landing.params import load_history_params
from ecommerce_elt.load.operators import load_batches
from more_itertools import always_iterable

REPLACED = AssetAlias("ecommerce_warehouse_replaced")  # of the warehouse, where rows were taken out or came back


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=4,
    default_args=default_args(Stage.LOAD),
    doc_md=__doc__,
    tags=[Tag.LOAD, Tag.CLEAN],
    params=load_history_params(),
)
def load_history():
    @linked_task(execution_timeout=timedelta(hours=6))
    def land_files() -> list[str]:
        from ecommerce_elt.landing.tasks import batches_to_clean, land_files

        landed = land_files(dict(get_current_context()["params"]))
        get_current_context()["ti"].xcom_push(key="landed", value=asdict(landed))
        return batches_to_clean(landed)

    @linked_task(execution_timeout=timedelta(hours=2), map_index_template="{{ feed }}", multiple_outputs=False)
    def clean_batch(batch_id: str) -> dict[str, object]:
        from ecommerce_elt.landing.tasks import clean_batch

        context = get_current_context()
        context["feed"] = feed_of(batch_id)  # type: ignore[typeddict-unknown-key]  # for map_index_template
        return clean_batch(batch_id, context["params"]["engine"])

    @linked_task(execution_timeout=timedelta(hours=2), trigger_rule="none_failed")
    def check_known_rows() -> list[str]:
        from ecommerce_elt.landing.tasks import check_known_rows

        context = get_current_context()
        ti, params = context["ti"], context["params"]
        landed = ti.xcom_pull(task_ids="land_files", key="landed")
        batch_ids, known = check_known_rows(landed, params["on_known"], params["engine"])
        ti.xcom_push(key="known_rows", value=known)
        return [] if params["dry_run"] else batch_ids

    # One at a time: what a file lacks is found and taken out without another file in between.
    @linked_task(
        trigger_rule="none_failed",
        multiple_outputs=False,
        max_active_tis_per_dag=1,
        outlets=[REPLACED],
        execution_timeout=timedelta(hours=2),
    )
    def replace_rows() -> dict[str, dict[str, object]]:
        from ecommerce_elt.landing.tasks import replace_rows

        context = get_current_context()
        landed, params = context["ti"].xcom_pull(task_ids="land_files", key="landed"), context["params"]
        replaced = replace_rows(
            landed, params["replace_by"], dry_run=params["dry_run"], to_dynamodb=params["to_dynamodb"]
        )
        if (
            any(file.get("rows_withdrawn") or file.get("rows_restored") for file in replaced.values())
            and not params["dry_run"]
        ):
            context["outlet_events"][REPLACED].add(WAREHOUSE)
        return replaced

    @linked_task(trigger_rule="all_done", multiple_outputs=False)
    def report_files() -> list[dict[str, object]]:
        from ecommerce_elt.landing.tasks import report_files

        ti, dry_run = get_current_context()["ti"], get_current_context()["params"]["dry_run"]
        loaded = always_iterable(ti.xcom_pull(task_ids="load_batch"), base_type=dict)  # one batch is no list
        return report_files(
            ti.xcom_pull(task_ids="land_files", key="landed"),
            [batch for batch in loaded if batch],
            ti.xcom_pull(task_ids="replace_rows"),
            dry_run=dry_run,
        )

    checked = check_known_rows()
    clean_batch.expand(batch_id=land_files()) >> checked
    loads = load_batches(
        checked,
        engine="{{ params.engine }}",
        on_known="{{ params.on_known }}",
        to_dynamodb="{{ 'yes' if params.to_dynamodb else '' }}",
    )
    loads >> replace_rows() >> report_files()


load_history()
