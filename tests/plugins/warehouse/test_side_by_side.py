"""Loads, marts, reconciliation, replay and erasure side by side, at both isolation levels: no task sees a conflict.

At SERIALIZABLE the transactions that write take turns: docs/adr/0029-turns-and-conflicts.md.

A conflict that `Warehouse.run` begins again is counted and told. `SIDE_BY_SIDE_SECONDS=600` runs it for ten minutes.
"""

import logging
import os
import threading
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.erasure.customers import customer_of, key_of_phone
from ecommerce_elt.erasure.warehouse import erase_core
from ecommerce_elt.marts import builds
from ecommerce_elt.quarantine import replay
from ecommerce_elt.quarantine.replay import Choice
from ecommerce_elt.reconcile.hours import reconcile_hours

from tests.conftest import PROJECT
from tests.plugins.cleaning.test_cleaning import MOVE, PERSON
from tests.plugins.warehouse.test_warehouse import Lake

SQL = PROJECT / "include" / "sql"
SECONDS = float(os.environ.get("SIDE_BY_SIDE_SECONDS", "40"))
SALE = {
    "InvoiceNo": "536365",
    "StockCode": "85123A",
    "Description": "LANTERN",
    "Quantity": "6",
    "InvoiceDate": "2026-01-02 03:04",
    "UnitPrice": "2.55",
    "CustomerID": "17850",
    "Country": "United Kingdom",
}

pytestmark = pytest.mark.nightly


class Counting(logging.Handler):
    """Counts the transactions that were begun again: tenacity says so before it waits."""

    def __init__(self):
        super().__init__()
        self.begun_again = 0

    def emit(self, record):
        self.begun_again += "Conflict" in record.getMessage()


class Crew:
    """What runs side by side, each in a thread with a client of its own, until the time is over."""

    def __init__(self):
        self.end = time.monotonic() + SECONDS
        self.runs, self.failures, self.threads = {}, [], []

    def add(self, name, work):
        def run():
            number = 0
            while time.monotonic() < self.end and not self.failures:
                try:
                    work(number)
                except Exception:
                    self.failures.append(f"{name}: {traceback.format_exc()}")
                number += 1
            self.runs[name] = number

        self.threads.append(threading.Thread(target=run, name=name))

    def work(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("level", ["SNAPSHOT", "SERIALIZABLE"])
def test_conflicts_of_what_runs_side_by_side(observer, config, contracts, level, record_property, cloud):
    takes_turns = level == "SERIALIZABLE"
    observer = replace(observer, warehouse=replace(observer.warehouse, takes_turns=takes_turns))
    target = observer.warehouse
    builds.register(target, SQL, contracts)
    target.run([f"ALTER DATABASE ecommerce ISOLATION LEVEL {level}"])
    counting, crew = Counting(), Crew()
    logger = logging.getLogger("ecommerce_elt.warehouse.redshift")
    logger.addHandler(counting)

    def own():
        return replace(target, client=cloud.client("redshift-data"))

    def loads(feed, record, bad=None):
        lake = Lake(observer, config)

        def work(number):
            records = [record] * 20 + ([bad] if bad else [])
            ids = [f"{lake.name}-{number}-{i}" for i in range(len(records))]
            lake.load(lake.batch(feed, records, ids))

        return work

    def replays():
        lake = Lake(observer, config)

        def work(number):
            bad = lake.batch("product_events", [MOVE | {"quantity": "x"}], [f"{lake.name}-{number}"])
            lake.load(bad)
            manifests, _ = replay.choose(
                observer.s3, own(), Choice(batch_id=bad.batch_id), lake.config, datetime.now(UTC)
            )
            assert replay.write_manifests(observer.s3, manifests, lake.config)
            for manifest in manifests:
                lake.load(clean_batch(observer.s3, manifest, lake.config))

        return work

    def erases():
        lake = Lake(observer, config)

        def work(number):
            lake.load(lake.batch("purchases", [PERSON | {"Phone": f"555-000-{number:04d}"}], [f"{lake.name}-{number}"]))
            key = key_of_phone(f"555-000-{number:04d}", lake.config.pii_hmac_key.get_secret_value())
            customer = customer_of("purchases", key, lake.config)
            erase_core(own(), customer, lake.config, request=f"side-by-side-{lake.name}-{number}")

        return work

    def reconciles(feed):
        settings = config.model_copy(update={"bucket": observer.bucket})
        return lambda number: reconcile_hours(observer.s3, own(), feed, settings, datetime.now(UTC))

    crew.add("load online_retail", loads("online_retail", SALE))
    crew.add("load purchases", loads("purchases", PERSON))
    crew.add("load product_events", loads("product_events", MOVE, MOVE | {"quantity": "y"}))
    crew.add("load product_events, a second run", loads("product_events", MOVE))
    crew.add("replay", replays())
    crew.add("erase", erases())
    for feed in contracts:
        crew.add(f"reconcile {feed}", reconciles(feed))
    subjects = sorted({mart.subject for mart in builds.MARTS} - {builds.DIMENSIONS})
    crew.add("marts", lambda number: builds.build_subject(own(), builds.DIMENSIONS, SQL))
    crew.add("sales", lambda number: builds.build_subject(own(), "sales", SQL))
    crew.add("other marts", lambda number: [builds.build_subject(own(), s, SQL) for s in subjects if s != "sales"])
    try:
        crew.work()
    finally:
        logger.removeHandler(counting)
        target.run(["ALTER DATABASE ecommerce ISOLATION LEVEL SNAPSHOT"])
    logging.getLogger(__name__).warning(
        "%s: %s transactions begun again; runs: %s", level, counting.begun_again, crew.runs
    )
    record_property("begun_again", counting.begun_again)
    assert crew.failures == []
    assert all(crew.runs.values()), crew.runs
    if level == "SNAPSHOT":
        assert counting.begun_again == 0
