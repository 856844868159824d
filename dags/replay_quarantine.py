"""
### Replay quarantine

Cleans events again that were rejected, with today's contract and SQL, loads what is good now, and closes it. Choose them by
feed, by what was wrong, by batch, or by when they were rejected; with nothing chosen it is all that is open.

- **Runs** by hand. `dry_run` is on: the run says what would become of the events, with ten examples that show no values.
- **Works on** the open events of `ops.quarantine`, not on a data interval.
- **Reads** `raw/`, where the records still lie. **Writes** what `load_events` writes; `ops.quarantine_closed`. With `action`
  dismiss it closes the events without loading them: they were looked at, and are no loss.

Twice is once: an event that core has is a duplicate, whatever brought it there. A sender that sends a mended record under the
same event id closes the event as well.

#### What to press after a failure
**Clear the red task** with its downstream tasks. What was loaded is closed, what was not is still open, and is chosen by the
next run. The log of `choose_events` says how many events raw/ no longer has: their time was over.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import Param, dag, get_current_context, task
from ecommerce_elt.dag_defaults import Stage, Tag, default_args
from ecommerce_elt.feeds import load_contracts
from ecommerce_elt.load_operators import load_batches
from ecommerce_elt.settings import settings
from more_itertools import always_iterable

FEEDS = list(load_contracts(settings().include_dir / "feeds"))


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(Stage.LOAD),
    doc_md=__doc__,
    tags=[Tag.LOAD, Tag.CLEAN],
    params={
        "feed": Param("any", enum=["any", *FEEDS], description="Of the events."),
        "column": Param("", type="string", description="Column that was wrong; empty is any."),
        "rule": Param(
            "", type="string", description="Rule that it broke: type, required, max, known, ...; empty is any."
        ),
        "batch_id": Param("", type="string", description="Batch that rejected them last; empty is any."),
        "since": Param("", type="string", description="Rejected first at this time or later: 2026-01-31T00:00:00Z."),
        "until": Param("", type="string", description="Rejected first before this time."),
        "action": Param("replay", enum=["replay", "dismiss"], description="Load what is good now; or close, unloaded."),
        "dry_run": Param(True, type="boolean", description="Say what would be done, and change nothing."),
    },
)
def replay_quarantine():
    @task
    def choose_events() -> list[str]:
        from ecommerce_elt.steps import choose_events

        context = get_current_context()
        batches, outlook = choose_events(
            dict(context["params"]), context["dag_run"].run_id, context["dag_run"].run_after
        )
        context["ti"].xcom_push(key="outlook", value=outlook)
        return batches

    @task(trigger_rule="none_failed", multiple_outputs=False)
    def report_replay() -> dict[str, object]:
        from ecommerce_elt.steps import report_replay

        ti = get_current_context()["ti"]
        loaded = always_iterable(ti.xcom_pull(task_ids="load_batch"), base_type=dict)
        return report_replay(ti.xcom_pull(task_ids="choose_events", key="outlook"), [one for one in loaded if one])

    loads = load_batches(choose_events(), engine="duckdb")
    loads >> report_replay()


replay_quarantine()
