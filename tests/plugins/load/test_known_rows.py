"""Rows of a landed file that core has under other ids: found before the load, stopped, skipped or added."""

import csv
import io
import json
import uuid
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest
from ecommerce_elt.cleaning import task_cleaning
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.landing import conversion, reports
from ecommerce_elt.landing import tasks as landing_tasks
from ecommerce_elt.load import batch_load, known_rows
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.warehouse import tables as warehouse_tables

from tests.conftest import PROJECT
from tests.plugins.warehouse.test_warehouse import Lake
from tests.support.landing_tasks import check_known_rows
from tests.support.online_retail import INVOICE_HEADER

COUNTS = ("accepted", "clean", "quarantined", "duplicates")


class Shop:
    """A shop with invoices of its own, which streams lines and drops exports of them."""

    def __init__(self, observer, config, monkeypatch):
        self.observer, self.s3 = observer, observer.s3
        self.lake = Lake(observer, config)
        self.config = self.lake.config.model_copy(update={"history_object_rows": 3, "history_batch_rows": 6})
        self.invoice, self.exports = uuid.uuid4().hex[:8], 0

        @contextmanager
        def linked_warehouse():
            yield observer.warehouse

        monkeypatch.setattr(task_cleaning, "client", lambda service: {"s3": self.s3}[service])
        monkeypatch.setattr(landing_tasks, "client", lambda service: {"s3": self.s3}[service])
        monkeypatch.setattr(batch_load, "client", lambda service: {"s3": self.s3}[service])
        monkeypatch.setattr(task_cleaning, "settings", lambda: self.config)
        monkeypatch.setattr(landing_tasks, "settings", lambda: self.config)
        monkeypatch.setattr(batch_load, "settings", lambda: self.config)
        monkeypatch.setattr(landing_tasks, "linked_warehouse", linked_warehouse)
        monkeypatch.setattr(landing_tasks, "get_current_context", dict)
        monkeypatch.setattr(batch_load, "linked_warehouse", linked_warehouse)
        monkeypatch.setattr(task_cleaning.lineage, "moved", lambda *_: None)

    def row(self, number, quantity=1, customer="17850", invoice=""):
        code = "85123a" if number % 2 else "71053"  # the clean SQL makes capitals, and `unknown` of no customer
        return [
            self.invoice + invoice,
            code,
            f"line {number}",
            str(quantity),
            f"2010-12-{1 + number % 3:02} 08:26:00",
            "2.55",
            customer,
            "France",
        ]

    def stream(self, *rows):
        """Sends rows under ids of the shop's own."""
        records = [dict(zip(INVOICE_HEADER, row, strict=True)) for row in rows]
        ids = [f"till-{uuid.uuid4()}" for _ in rows]
        assert self.lake.load(self.lake.batch("online_retail", records, ids, event_time=None))["clean"] == len(rows)
        return ids

    def drop(self, *exports, **flags):
        """Lands files together."""
        keys = []
        for rows in exports:
            self.exports += 1
            out = io.StringIO()
            csv.writer(out).writerows([INVOICE_HEADER, *rows])
            keys.append(f"landing/online_retail/{self.invoice}-{self.exports}.csv")
            self.s3.put_object(Bucket=self.config.bucket, Key=keys[-1], Body=out.getvalue().encode())
        contracts = load_contracts(PROJECT / "include/feeds")
        return conversion.land_files(self.s3, [(key, None) for key in keys], contracts, Flags(**flags), self.config)

    def check(self, group, on_known="stop", engine="auto"):
        for batch_id in landing_tasks._batches_to_clean(group):
            landing_tasks.clean_batch.function(batch_id, params={"engine": engine})
        batch_ids, found = check_known_rows(json.loads(json.dumps(asdict(group))), on_known, engine)
        assert batch_ids == group.batches
        return found

    def load(self, group, on_known="stop", batch_ids=None):
        """Loads batches as the task does, but for the lake, and returns what each file's report says."""
        loaded = {}
        for batch_id in batch_ids or group.batches:
            batch = task_cleaning.clean_where_needed(self.s3, batch_id, self.config, committed=False)
            skipped = known_rows.skipped_url(self.s3, batch_id, self.config.bucket) if on_known == "skip" else None
            loaded[batch_id] = load_transaction.load_batch(
                self.observer.warehouse, batch, self.config, skips=True, skipped=skipped
            )
            assert loaded[batch_id]["accepted"] == sum(loaded[batch_id][name] for name in COUNTS[1:])
        return loaded

    def run(self, *exports, on_known="stop", **flags):
        """Returns (accepted, clean, quarantined, duplicates) of the run, and what the check found."""
        group = self.drop(*exports, **flags)
        found = self.check(group, on_known)
        loaded = self.load(group, on_known)
        return tuple(sum(counts[name] for counts in loaded.values()) for name in COUNTS), found

    def core(self):
        """Returns (rows, sum of quantities) of the shop."""
        rows = self.observer.warehouse.query(
            f"SELECT COUNT(*), SUM(quantity) FROM core.fact_invoice_line WHERE invoice_no LIKE '{self.invoice}%'"
        )
        return tuple(int(value or 0) for value in rows[0])


@pytest.fixture
def shop(observer, config, monkeypatch):
    return Shop(observer, config, monkeypatch)


def test_overlapping_exports_in_any_order_are_in_core_once(shop):
    rows = [shop.row(i) for i in range(10)] + [shop.row(3)]
    assert shop.run(rows[4:8]) == ((4, 4, 0, 0), {"known": 0, "beside_known": 0})
    assert shop.run(rows[:6]) == ((6, 4, 0, 2), {"known": 0, "beside_known": 4})
    assert shop.run(rows[::-1]) == ((11, 3, 0, 8), {"known": 0, "beside_known": 3})
    assert shop.run(rows) == ((11, 0, 0, 11), {"known": 0, "beside_known": 0})
    assert shop.core() == (11, 11)


def test_files_that_are_landed_together_may_overlap(shop):
    rows = [shop.row(i) for i in range(8)]
    assert shop.run(rows[:5], rows[3:], rows)[0] == (18, 8, 0, 10)
    assert shop.core() == (8, 8)


def test_a_changed_row_is_a_new_row_beside_the_old_one(shop):
    shop.run([shop.row(1), shop.row(2)])
    assert shop.run([shop.row(1), shop.row(2, quantity=5)]) == ((2, 1, 0, 1), {"known": 0, "beside_known": 1})
    assert shop.run([shop.row(1, invoice="-2")]) == ((1, 1, 0, 0), {"known": 0, "beside_known": 0})
    assert shop.core() == (4, 8)


def test_rows_that_the_shop_streamed_itself_stop_the_run(shop):
    shop.stream(shop.row(1), shop.row(2, customer=""))
    group = shop.drop([shop.row(1), shop.row(2, customer=""), shop.row(4)])
    with pytest.raises(
        PermanentError, match=r"2 rows are in core.fact_invoice_line under other ids.*1.csv: 2\).*on_known: skip"
    ):
        shop.check(group)
    assert shop.core() == (2, 2)
    [found] = reports.report_loaded(shop.s3, group, {}, shop.config)
    assert (found["known_under_other_ids"], found["new_beside_known"]) == (2, 1)


def test_skip_loads_the_others_and_counts_these_as_duplicates(shop):
    shop.stream(shop.row(1), shop.row(2, customer=""), shop.row(1))
    rows = [shop.row(1), shop.row(2, customer=""), shop.row(4), shop.row(1), shop.row(1)]
    assert shop.run(rows, on_known="skip") == ((5, 2, 0, 3), {"known": 3, "beside_known": 2})
    assert shop.core() == (5, 5)
    assert shop.run(rows, on_known="skip") == ((5, 0, 0, 5), {"known": 3, "beside_known": 0})
    assert shop.run([*rows, shop.row(5)], on_known="skip") == ((6, 1, 0, 5), {"known": 3, "beside_known": 1})
    assert shop.core() == (6, 6)


def test_add_has_these_rows_twice(shop):
    shop.stream(shop.row(1))
    assert shop.run([shop.row(1), shop.row(2)], on_known="add") == ((2, 2, 0, 0), {"known": 1, "beside_known": 1})
    assert shop.core() == (3, 3)


def test_as_many_equal_rows_are_known_as_core_has(shop):
    shop.stream(shop.row(1))
    rows = [shop.row(1) for _ in range(8)]  # in three objects and two batches
    assert shop.run(rows, on_known="skip") == ((8, 7, 0, 1), {"known": 1, "beside_known": 7})
    assert shop.core() == (8, 8)


def test_equal_rows_in_two_batches_of_a_file_are_no_strangers(shop):
    rows = [shop.row(1), *[shop.row(i) for i in range(2, 9)], shop.row(1)]
    group = shop.drop(rows)
    assert len(group.batches) == 2
    shop.check(group)
    shop.load(group, batch_ids=group.batches[:1])
    assert shop.check(group) == {"known": 0, "beside_known": 3}  # again, by a task that was killed
    shop.load(group)
    assert shop.core() == (9, 9)


def test_rows_that_were_loaded_by_file_and_line_before_are_found(shop):
    rows = [shop.row(i) for i in range(8)] + [shop.row(1)]
    assert shop.run(rows[:6], identity="file")[0] == (6, 6, 0, 0)
    with pytest.raises(PermanentError, match="5 rows are in core"):
        shop.run(rows[2:])
    assert shop.run(rows[2:], on_known="skip")[0] == (7, 2, 0, 5)
    assert shop.core() == (8, 8)


def test_a_correction_by_file_and_line_works_as_before(shop):
    shop.run([shop.row(1), shop.row(2)], identity="file", data_set=shop.invoice)
    corrected = [shop.row(1, quantity=7), shop.row(2)]
    assert shop.run(corrected, identity="file", data_set=shop.invoice, event_version=2)[0] == (2, 0, 0, 2)
    assert shop.core() == (2, 8)


def test_kills_retries_and_a_second_run_change_nothing(shop):
    shop.stream(*[shop.row(i) for i in range(4)])
    rows = [shop.row(i) for i in range(10)]
    group = shop.drop(rows)
    assert shop.check(group, "skip") == {"known": 4, "beside_known": 6}
    first = shop.load(group, "skip", group.batches[:1])  # then the worker is killed
    assert shop.check(group, "skip") == {"known": 0, "beside_known": 4}  # of the other batch
    again = shop.load(group, "skip")
    assert again[group.batches[0]] == first[group.batches[0]]
    # A second run that chose otherwise finds the batches committed, and its transaction changes nothing either.
    assert shop.check(group, "add") == {"known": 0, "beside_known": 0}
    assert shop.load(group, "add") == again
    assert shop.core() == (10, 10)
    [found] = reports.report_loaded(shop.s3, group, again, shop.config)
    assert [found[name] for name in COUNTS] == [10, 6, 0, 4]
    ids = ", ".join(f"'{batch_id}'" for batch_id in group.batches)
    known = shop.observer.warehouse.query(f"SELECT COUNT(*) FROM ops.known_event WHERE batch_id IN ({ids})")
    assert known == [(4,)]  # which the lake leaves out of its lists
    assert (found["known_under_other_ids"], found["new_beside_known"]) == (4, 6)


def test_a_list_of_an_earlier_run_is_gone(shop):
    ids = shop.stream(shop.row(1))
    group = shop.drop([shop.row(1), shop.row(2)])
    shop.check(group, "skip")
    [batch_id] = group.batches
    assert known_rows.skipped_url(shop.s3, batch_id, shop.config.bucket)
    shop.observer.warehouse.run([f"DELETE FROM core.fact_invoice_line WHERE event_id = '{ids[0]}'"])
    assert shop.check(group, "skip") == {"known": 0, "beside_known": 0}
    assert known_rows.skipped_url(shop.s3, batch_id, shop.config.bucket) is None
    assert shop.load(group, "skip")[batch_id]["clean"] == 2


def test_rejected_rows_and_feeds_without_columns_are_left_alone(shop):
    rows = [shop.row(1, quantity="many"), shop.row(2, quantity="x")]
    assert shop.run(rows) == ((2, 0, 2, 0), {"known": 0, "beside_known": 0})
    group = shop.drop(rows[:1])
    landed = asdict(group)
    landed["files"][0]["key"] = "landing/product_events/x.csv"
    assert check_known_rows(landed, "stop", "auto") == (group.batches, {})


def test_before_glue_cleans_nothing_can_be_looked_for(shop):
    group = shop.drop([shop.row(1)])
    with pytest.raises(PermanentError, match="1 batches are for Glue.*with engine duckdb, or with on_known add"):
        shop.check(group, "skip", "glue")
    assert shop.check(group, "add", "glue") == {}


def test_of_days_that_core_has_not_nothing_is_copied(shop):
    shop.stream(shop.row(0))
    far = shop.row(1)
    far[4] = "1987-03-07 08:26:00"
    group = shop.drop([shop.row(0), far])
    assert shop.check(group, "add") == {"known": 1, "beside_known": 0}
    key = f"manifests/{group.batches[0]}/known_rows_copy.json"
    entries = json.loads(shop.s3.get_object(Bucket=shop.config.bucket, Key=key)["Body"].read())["entries"]
    assert [entry["url"].split("/dt=")[1][:10] for entry in entries] == ["2010-12-01"]
    group = shop.drop([far])
    assert shop.check(group) == {"known": 0, "beside_known": 0}
    assert not shop.observer.keys(f"manifests/{group.batches[0]}/known_rows_copy.json")
    assert shop.load(group)[group.batches[0]]["clean"] == 1


def test_batches_are_cleaned_side_by_side_before_they_are_looked_at_together(shop):
    assert landing_tasks._batches_to_clean(shop.drop([shop.row(1)])) == []  # one is cleaned by the check
    group = shop.drop([shop.row(i) for i in range(10)])
    assert landing_tasks._batches_to_clean(group) == group.batches
    assert len(group.batches) == 2
    assert landing_tasks.clean_batch.function(group.batches[0], params={"engine": "glue"}) == {}
    by_size = {"engine": "auto"}
    cleaned = [landing_tasks.clean_batch.function(batch_id, params=by_size) for batch_id in group.batches]
    assert sum(counts["clean"] for counts in cleaned) == 10
    group.files[0] = replace(group.files[0], key="landing/purchases/x.csv")  # nothing is looked for
    assert landing_tasks._batches_to_clean(group) == []


@pytest.mark.parametrize("feed", ["online_retail"])
def test_core_and_staging_have_the_columns_of_the_identity(contracts, feed):
    for table in (contracts[feed].staging, contracts[feed].tables[0]):
        [ddl] = warehouse_tables.ddl(PROJECT / "include/sql", [table])
        for name in contracts[feed].identity:
            assert f"\n    {known_rows._in_core(contracts[feed], name)} " in ddl


def test_core_is_read_on_the_days_of_the_files_alone():
    sql = (PROJECT / "include/sql/ops/known_row/find_core_events.sql").read_text()
    assert "event_time >= (SELECT MIN(event_time) FROM landed_row)" in sql
    assert "event_time <= (SELECT MAX(event_time) FROM landed_row)" in sql
