"""
### Maintain the lake

Makes few large files of the many small ones that micro-batches leave, deletes what is past its time, and vacuums and analyzes
the warehouse. No reader of the lake's tables sees a row twice or not at all meanwhile: docs/adr/0015.

- **Runs** daily (`ECOMMERCE_MAINTAIN_SCHEDULE`), and whenever it is triggered.
- **Works on** all days, not on a data interval.
- **Reads** the lists in `published/` and the files in `clean/`. **Writes** both; deletes files that were compacted
  `ECOMMERCE_LAKE_GRACE_HOURS` ago and objects past `ECOMMERCE_RETENTION_DAYS`. VACUUM and ANALYZE of every table.

#### What to press after a failure
**Clear the red task.** Every task can run again at any time: a compaction that died changed no list, and what it wrote is
written again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task
from ecommerce_elt.alerts import deadline
from ecommerce_elt.dag_defaults import Stage, Tag, default_args
from ecommerce_elt.links import linked_task
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
    @task
    def find_feeds() -> list[str]:
        from ecommerce_elt.steps import feeds

        return feeds()

    @task(map_index_template="{{ task.op_kwargs['feed'] }}", multiple_outputs=False)
    def compact_feed(feed: str) -> dict[str, object]:
        from ecommerce_elt.steps import compact_feed

        return compact_feed(feed)

    @task
    def remove_superseded_files() -> int:
        from ecommerce_elt.steps import remove_superseded_files

        return remove_superseded_files()

    @task(multiple_outputs=False)
    def apply_retention() -> dict[str, int]:
        from ecommerce_elt.steps import apply_retention

        return apply_retention()

    @linked_task
    def vacuum_and_analyze() -> list[str]:
        from ecommerce_elt.steps import vacuum_and_analyze

        return vacuum_and_analyze()

    compact_feed.expand(feed=find_feeds()) >> remove_superseded_files()
    apply_retention()
    vacuum_and_analyze()


maintain_lake()
