"""### Catalog the lake

Updates the Glue Data Catalog, so that Athena, Spark and every other reader of the catalog see the
current state of the lake.

- **Runs** hourly (`ECOMMERCE_CATALOG_SCHEDULE`), and whenever it is triggered.
- **Works on** all objects of the lake, not on a data interval.
- **Reads** `raw/`, `clean/` and `quarantine/` with the crawlers, and the lists in `published/`.
  **Writes** the database `ecommerce_lake`: `raw_feed_*`, `clean_feed_*` and `quarantine` as the
  crawlers find them, and one table for each feed that has each event once (docs/lake.md). The
  last task queries Athena for the events in quarantine and their reasons.

#### What to press after a failure

A failed crawl names the object that it could not read. Fix it as
[crawler fails](/ecommerce/runbooks/crawler-fails) says, then **clear the red task**. Every task is
idempotent, and none changes objects of the lake.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.amazon.aws.operators.athena import AthenaOperator
from airflow.providers.amazon.aws.operators.glue_crawler import GlueCrawlerRunOperator
from airflow.sdk import dag
from ecommerce_elt import aws_names
from ecommerce_elt.airflow.alerts import deadline
from ecommerce_elt.airflow.defaults import Stage, Tag, default_args
from ecommerce_elt.lake.tasks import has_quarantine, publish_tables
from ecommerce_elt.settings import settings


@dag(
    schedule=settings().catalog_schedule,
    catchup=False,
    max_active_runs=1,
    max_active_tasks=2,  # the loads come first
    default_args=default_args(Stage.LAKE, execution_timeout=timedelta(hours=2)),
    template_searchpath=[str(settings().sql_dir / "athena")],
    deadline=deadline(Stage.LAKE, minutes=60),
    doc_md=__doc__,
    tags=[Tag.LAKE],
)
def catalog_lake():
    crawls = [
        GlueCrawlerRunOperator(
            task_id=f"crawl_{folder}",
            crawler_name=aws_names.crawler(settings().stack_prefix, folder),
            fail_on_already_running=False,
            poll_interval=settings().crawler_poll_seconds,
            deferrable=True,
        )
        for folder in ("raw", "clean", "quarantine")
    ]
    summarise_quarantine = AthenaOperator(
        task_id="summarise_quarantine",
        query="quarantine_by_reason.sql",
        database=settings().lake_database,
        workgroup=settings().athena_workgroup,
        sleep_time=settings().crawler_poll_seconds,
        deferrable=True,
    )

    crawls[1] >> publish_tables()
    crawls[2] >> has_quarantine() >> summarise_quarantine


catalog_lake()
