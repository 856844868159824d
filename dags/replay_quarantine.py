"""### Replay quarantine

Cleans rejected events again with the current contract and SQL, loads those that are now valid, and
closes them. Choose the events by feed, rule, batch, or time of rejection. Without a choice the DAG
takes all open events.

- **Runs** by hand. By default `dry_run` is on: the run says what would happen to the events, with
  ten examples without values.
- **Works on** the open events of `ops.quarantine`, not on a data interval.
- **Reads** the records in `raw/`. **Writes** everything that `load_events` writes, and
  `ops.quarantine_closed`. With `action` dismiss it closes the events without loading them,
  because somebody has decided that they are not needed.

A replay is idempotent: an event that core already has counts as a duplicate. A sender that sends a
corrected record under the same event id closes the event as well.

#### What to press after a failure

**Clear the red task** with its downstream tasks. Loaded events are closed. The others are still
open, and the next run chooses them again. The log of `choose_events` says how many events are no
longer in `raw/`, because its retention has ended.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import Param, dag
from ecommerce_elt.airflow.defaults import Stage, Tag, default_args
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.load.operators import load_batches
from ecommerce_elt.quarantine.tasks import choose_events, report_replay
from ecommerce_elt.settings import settings

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
        "feed": Param("any", enum=["any", *FEEDS], description="Feed of the events."),
        "column": Param("", type="string", description="Column that was wrong. If empty, any."),
        "rule": Param("", type="string", description="Violated rule: type, required, max, known, ... If empty, any."),
        "batch_id": Param("", type="string", description="Batch that rejected the events last. If empty, any."),
        "since": Param("", type="string", description="First rejected at this time or later: 2026-01-31T00:00:00Z."),
        "until": Param("", type="string", description="First rejected before this time."),
        "action": Param(
            "replay",
            enum=["replay", "dismiss"],
            description="Load the events that are now valid, or close them without loading.",
        ),
        "dry_run": Param(True, type="boolean", description="Report what would be done, and change nothing."),
    },
)
def replay_quarantine():
    load_batches(choose_events(), engine="duckdb") >> report_replay()


replay_quarantine()
