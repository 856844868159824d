"""
### Load history

Loads whole files of `landing/<feed>/`: CSV of any spelling, JSON, Parquet, a workbook, packed or not, or a zip of them, as
the producer reads them; what a file is, its first bytes say. The header is validated first. Small files of a feed share a run
and a batch, and each has a report of its own. The events have the ids that a replay of the same file would give them, so a
file that is loaded twice, or streamed as well, is in the warehouse once.

- **Runs** for the files that `watch_landing` finds, and by hand with a key. Give the other parameters where the file leaves
  open how it is to be read: the report of a file that failed says which.
- **Works on** one file or some small ones, not on a data interval.
- **Reads** the files, which stay as they are. **Writes** `raw/`, and from there on all that `load_events` writes; at last a
  report beside each file: `<file>.<etag>.report.json`, with the counts, and the line number of each rejected record.

Before anything is loaded, rows that core has under other ids are counted, where the feed tells rows apart by their values: what a
shop streamed itself, say, and exports as well. `on_known` says what becomes of them; by default the run stops and says how many there are.

#### What to press after a failure
Read the report; where a parameter is missing, its `run_again` has the command. A file that is wrong does not hold up the
others of its run: mend it and put it to `landing/` again; it gets a run of its own. For a file that needs a parameter:
**trigger the DAG** with the key and the parameter. For a batch that could not be loaded: mend what the red task names and
**clear the red task** with its downstream tasks. More in docs/runbooks/bad-file-in-landing.md.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from airflow.sdk import Param, dag, get_current_context
from ecommerce_elt.dag_defaults import Stage, Tag, default_args
from ecommerce_elt.links import linked_task
from ecommerce_elt.load_operators import load_batches
from more_itertools import always_iterable


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=4,
    default_args=default_args(Stage.LOAD),
    doc_md=__doc__,
    tags=[Tag.LOAD, Tag.CLEAN],
    params={
        "key": Param(type="string", minLength=1, description="Of the file: landing/<feed>/<name>."),
        "engine": Param("auto", enum=["auto", "duckdb", "glue"], description="What cleans; auto decides by size."),
        "encoding": Param("", type="string", description="Of a file that is not UTF-8 or UTF-16."),
        "delimiter": Param("", type="string", description="If none of , ; tab | splits the header."),
        "date_order": Param("", enum=["", "mdy", "dmy", "ymd"], description="Where the dates fit several."),
        "decimal_comma": Param(
            None,
            type=["null", "boolean"],
            description="Whether 1,500 is one and a half (true) or one thousand five hundred (false); empty: the file decides.",
        ),
        "sheet": Param("", type="string", description="Of a workbook with several that fit, or a hidden one."),
        "columns": Param({}, type="object", description='Key to header of the file: {"InvoiceNo": "Rechnung"}.'),
        "data_set": Param("", type="string", description="Names the data; else its SHA-256 does. Never guess it."),
        "event_version": Param(
            1,
            type="integer",
            minimum=1,
            description="Above 1: corrects the data set that data_set names, which was loaded by identity file.",
        ),
        "identity": Param(
            "",
            enum=["", "file", "rows"],
            description="What tells rows apart: their values (rows), or the file and the line (file); empty: the contract says.",
        ),
        "on_known": Param(
            "stop",
            enum=["stop", "skip", "add"],
            description="What becomes of rows that core has under other ids, such as the shop's own: nothing is loaded (stop), "
            "the others are loaded (skip), or all are, and these are there twice (add).",
        ),
        "etag": Param("", type="string", description="Of the file that is meant; set by watch_landing."),
        "more": Param(
            [],
            type="array",
            items={"type": "object", "required": ["key", "etag"]},
            description="Further files of the feed, each with key and etag; set by watch_landing.",
        ),
    },
)
def load_history():
    @linked_task(execution_timeout=timedelta(hours=6))
    def land_files() -> list[str]:
        from ecommerce_elt.steps import land_files

        landed = land_files(dict(get_current_context()["params"]))
        get_current_context()["ti"].xcom_push(key="landed", value=asdict(landed))
        return landed.batches

    @linked_task(execution_timeout=timedelta(hours=2), multiple_outputs=False)
    def check_known_rows() -> dict[str, int]:
        from ecommerce_elt.steps import check_known_rows

        context = get_current_context()
        landed, params = context["ti"].xcom_pull(task_ids="land_files", key="landed"), context["params"]
        return check_known_rows(landed, params["on_known"], params["engine"])

    @linked_task(trigger_rule="all_done", multiple_outputs=False)
    def report_files() -> list[dict[str, object]]:
        from ecommerce_elt.steps import report_files

        ti = get_current_context()["ti"]
        loaded = always_iterable(ti.xcom_pull(task_ids="load_batch"), base_type=dict)  # one batch is no list
        return report_files(ti.xcom_pull(task_ids="land_files", key="landed"), [batch for batch in loaded if batch])

    landed = land_files()
    loads = load_batches(landed, engine="{{ params.engine }}", on_known="{{ params.on_known }}")
    landed >> check_known_rows() >> loads >> report_files()


load_history()
