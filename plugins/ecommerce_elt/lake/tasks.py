"""The tasks of the lake and of the maintenance of the warehouse.

Each is a function of plain parameters and connects an Airflow task to the logic. When a task fails, Airflow logs the
whole chain of exceptions. Each function is therefore wrapped in `values_withheld`, which lets no error out whose text
may quote the input.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from ecommerce_elt.airflow.clients import client, task_warehouse
from ecommerce_elt.errors import values_withheld
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.lake import catalog, compact, retention
from ecommerce_elt.marts import builds
from ecommerce_elt.settings import settings
from ecommerce_elt.warehouse import redshift
from ecommerce_elt.warehouse import tables as warehouse_tables

log = logging.getLogger(__name__)


@values_withheld()
def publish_tables() -> dict[str, int]:
    """Updates the feeds' tables in the Glue catalog to the lake, and returns the number of new partitions by table."""
    feeds = load_contracts(settings().include_dir / "feeds")
    return catalog.publish_tables(client("glue"), client("s3"), feeds, settings())


@values_withheld()
def has_table(name: str) -> bool:
    """Returns whether the lake's database in the Glue catalog has the table."""
    glue = client("glue")
    try:
        glue.get_table(DatabaseName=settings().lake_database, Name=name)
    except glue.exceptions.EntityNotFoundException:
        return False
    return True


@values_withheld()
def feeds() -> list[str]:
    """Returns the names of all feeds."""
    return list(load_contracts(settings().include_dir / "feeds"))


@values_withheld()
def compact_feed(feed: str) -> dict[str, Any]:
    """Compacts the days of one feed, and returns the counts of days, files and bytes."""
    done = asdict(compact.compact_feed(client("s3"), feed, settings()))
    log.info("compacted %s", " ".join(f"{k}={v}" for k, v in done.items()))
    return done


@values_withheld()
def remove_superseded_files() -> int:
    """Deletes the files that were removed from the lists before the grace period, and returns how many."""
    return retention.remove_superseded(client("s3"), settings())


@values_withheld()
def apply_retention() -> dict[str, int]:
    """Deletes data past its retention in the lake and in ops; returns the number of deleted objects by prefix."""
    config = settings()
    warehouse_tables.prune(task_warehouse(), config)
    return retention.apply_retention(client("s3"), config)


@values_withheld()
def upkeep_tables() -> list[str]:
    """Returns the tables of the warehouse that are vacuumed and analyzed."""
    found = load_contracts(settings().include_dir / "feeds").values()
    facts = {table for contract in found for table in contract.tables}
    return sorted(
        facts
        | {mart.table for mart in (*builds.MARTS, *builds.FORECASTS)}
        | {"ops.batch_audit", "ops.batch_object", "ops.event_day"}
    )


@values_withheld()
def vacuum_and_analyze() -> list[str]:
    """Runs VACUUM and ANALYZE on each table: frees space, sorts and renews statistics; returns the tables."""
    config, target = settings(), task_warehouse()
    for table in upkeep_tables():
        for name in ("vacuum", "analyze"):  # VACUUM cannot run in a transaction, so each is a separate statement
            redshift.run_file(target, config.sql_dir / f"ops/upkeep/{name}.sql", {"table": table})
    return upkeep_tables()
