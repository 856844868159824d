"""### Maintain the lake

Compacts the many small files of micro-batches into few large ones, deletes objects whose retention
has ended, and runs VACUUM and ANALYZE in the warehouse. Readers of the lake's tables see every row
exactly once in the meantime: docs/adr/0015.

- **Runs** daily (`ECOMMERCE_MAINTAIN_SCHEDULE`), and whenever it is triggered.
- **Works on** all days, not on a data interval.
- **Reads** the lists in `published/` and the files in `clean/`. **Writes** both. **Deletes** files
  that were compacted `ECOMMERCE_LAKE_GRACE_HOURS` ago, and objects that are older than
  `ECOMMERCE_RETENTION_DAYS`.

#### What to press after a failure

**Clear the red task.** Every task is idempotent: a failed compaction has changed no list, and its
files are written again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag
from ecommerce_elt.airflow.alerts import deadline
from ecommerce_elt.airflow.defaults import Stage, Tag, default_args
from ecommerce_elt.lake.tasks import (
    apply_retention,
    compact_feed,
    find_feeds,
    remove_superseded_files,
    vacuum_and_analyze,
)
from ecommerce_elt.settings import settings


@dag(
    schedule=settings().maintain_schedule,
    catchup=False,
    max_active_runs=1,
    max_active_tasks=2,  # the loads come first
    default_args=default_args(Stage.LAKE, execution_timeout=timedelta(hours=6)),
    deadline=deadline(Stage.LAKE, minutes=360),
    doc_md=__doc__,
    tags=[Tag.LAKE],
)
def maintain_lake():
    compact_feed.expand(feed=find_feeds()) >> remove_superseded_files()
    apply_retention()
    vacuum_and_analyze()


maintain_lake()
