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

from datetime import datetime

from airflow.sdk import dag
from ecommerce_elt.airflow.defaults import Stage, Tag, default_args
from ecommerce_elt.landing.params import load_history_params
from ecommerce_elt.landing.tasks import check_known_rows, clean_batch, land_files, replace_rows, report_files
from ecommerce_elt.load.operators import load_batches


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
