"""The tasks of `catalog_lake` and `maintain_lake`."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from ecommerce_elt.airflow.clients import client, task_warehouse
from ecommerce_elt.airflow.decorators import linked_task, short_circuit_task, task
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.marts import builds
from ecommerce_elt.settings import settings
from ecommerce_elt.warehouse import redshift
from ecommerce_elt.warehouse import tables as warehouse_tables

log = logging.getLogger(__name__)


@linked_task(multiple_outputs=True)
def publish_tables() -> dict[str, int]:
    """Updates the feeds' tables in the Glue catalog to the lake, and returns the number of new partitions by table."""
    from ecommerce_elt.lake import catalog

    feeds = load_contracts(settings().include_dir / "feeds")
    return catalog.publish_tables(client("glue"), client("s3"), feeds, settings())


@short_circuit_task
def has_quarantine() -> bool:
    """Returns whether the lake's database in the Glue catalog has the table of rejected events."""
    glue = client("glue")
    try:
        glue.get_table(DatabaseName=settings().lake_database, Name="quarantine")
    except glue.exceptions.EntityNotFoundException:
        return False
    return True


@task
def find_feeds() -> list[str]:
    """Returns the names of all feeds."""
    return list(load_contracts(settings().include_dir / "feeds"))


@task(map_index_template="{{ task.op_kwargs['feed'] }}")
def compact_feed(feed: str) -> dict[str, Any]:
    """Compacts the days of one feed, and returns the counts of days, files and bytes."""
    from ecommerce_elt.lake import compact

    done = asdict(compact.compact_feed(client("s3"), feed, settings()))
    log.info("compacted %s", " ".join(f"{k}={v}" for k, v in done.items()))
    return done


@task
def remove_superseded_files() -> int:
    """Deletes the files that were removed from the lists before the grace period, and returns how many."""
    from ecommerce_elt.lake import retention

    return retention.remove_superseded(client("s3"), settings())


@task
def apply_retention() -> dict[str, int]:
    """Deletes data past its retention in the lake and in ops; returns the number of deleted objects by prefix."""
    from ecommerce_elt.lake import retention

    config = settings()
    warehouse_tables.prune(task_warehouse(), config)
    return retention.apply_retention(client("s3"), config)


def _upkeep_tables() -> list[str]:
    found = load_contracts(settings().include_dir / "feeds").values()
    facts = {table for contract in found for table in contract.tables}
    return sorted(
        facts
        | {mart.table for mart in (*builds.MARTS, *builds.FORECASTS)}
        | {"ops.batch_audit", "ops.batch_object", "ops.event_day"}
    )


@linked_task
def vacuum_and_analyze() -> list[str]:
    """Runs VACUUM and ANALYZE on each table: frees space, sorts and renews statistics; returns the tables."""
    config, target, tables = settings(), task_warehouse(), _upkeep_tables()
    for table in tables:
        for name in ("vacuum", "analyze"):  # VACUUM cannot run in a transaction, so each is a separate statement
            redshift.run_file(target, config.sql_dir / f"ops/upkeep/{name}.sql", {"table": table})
    return tables
