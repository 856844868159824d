"""The tasks of `reconcile_layers`. That of BigQuery is in `bigquery.tasks`."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ecommerce_elt import listing
from ecommerce_elt.airflow import results
from ecommerce_elt.airflow.clients import client, task_warehouse
from ecommerce_elt.airflow.decorators import task
from ecommerce_elt.batches import manifests
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.reconcile.differences import Difference, put_metrics
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


def _feeds() -> list[str]:
    folders = listing.folders(client("s3"), settings().bucket, "raw/")
    arrived = {folder.removeprefix("raw/feed=").rstrip("/") for folder in folders}
    return [*sorted(arrived | set(load_contracts(settings().include_dir / "feeds"))), manifests.UNREADABLE]


@task
def find_feeds() -> list[str]:
    """Returns the feeds to compare: all with a contract or raw objects, and that of records that are not envelopes."""
    return _feeds()


@task(map_index_template="{{ task.op_kwargs['feed'] }}")
def reconcile_feed(feed: str) -> dict[str, Any]:
    """Compares the layers of one feed, and returns the summaries `hours` and `days`, and the `differences`."""
    from ecommerce_elt.reconcile.arrivals import announce
    from ecommerce_elt.reconcile.days import reconcile_days
    from ecommerce_elt.reconcile.hours import reconcile_hours

    config, s3, target, now = settings(), client("s3"), task_warehouse(), datetime.now(UTC)
    hours, found, unclaimed = reconcile_hours(s3, target, feed, config, now)
    if unclaimed:
        announced = announce(client("sqs"), unclaimed, config)
        log.error("announced=%s of %s objects that no batch has", announced, len(unclaimed))
    contract = load_contracts(config.include_dir / "feeds").get(feed)
    days: dict[str, Any] = {}
    if contract:
        days, more = reconcile_days(s3, client("dynamodb"), target, contract, config, now)
        found += more
    for difference in found:
        log.error("%s", difference)
    log.info("hours %s days %s", hours, days)
    return {"hours": hours, "days": days, "differences": [asdict(d) for d in found]}


@task(trigger_rule="all_done")
def report_differences(*, ti: Any) -> dict[str, int]:
    """Checks the stream and for delays, publishes the metrics, and returns 0 differences for each feed.

    Raises:
        PermanentError: there are differences, each of which the message names; or not all layers were compared.
    """
    from ecommerce_elt.reconcile.stream import reconcile_stream, watch

    asked, compared = ti.xcom_pull(task_ids="find_feeds"), results.of_mapped(ti, "reconcile_feed")
    exported = ti.xcom_pull(task_ids="reconcile_bigquery")
    config, cloudwatch, s3, now = settings(), client("cloudwatch"), client("s3"), datetime.now(UTC)
    found = [
        Difference(**difference)
        for result in [*compared, exported or {"differences": []}]
        for difference in result["differences"]
    ]
    found += reconcile_stream(cloudwatch, s3, task_warehouse(), _feeds(), config, now)
    found += watch(cloudwatch, s3, config, now)
    put_metrics(cloudwatch, [result["hours"] for result in compared], found, config, now)
    if found:
        raise PermanentError("layers differ, docs/runbooks/layers-differ.md:\n" + "\n".join(map(str, found)))
    if not asked or len(compared) != len(asked) or exported is None:
        raise PermanentError("not all layers were compared: look at the red tasks")
    return {result["hours"]["feed"]: 0 for result in compared}
