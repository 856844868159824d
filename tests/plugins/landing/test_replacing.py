"""replace_by: rows of an invoice that its newest export lacks leave core, whatever dies and in whatever order exports come."""

import csv
import gzip
import io
import itertools
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from ecommerce_elt.batches import raw_lines
from ecommerce_elt.cleaning import task_cleaning
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.landing import conversion, replacing, reports
from ecommerce_elt.landing import tasks as landing_tasks
from ecommerce_elt.load import batch_load
from ecommerce_elt.readers.flags import Flags
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.conftest import PROJECT
from tests.plugins.load import test_known_rows
from tests.support.landing_tasks import check_known_rows, replace_rows
from tests.support.online_retail import INVOICE_HEADER
from tests.support.spreadsheets import as_zip

COLUMN = "invoice_no"
DEFAULTS = {"replace_by": COLUMN, "dry_run": False, "identity": "", "on_known": "stop", "more": []}


def as_csv(rows):
    out = io.StringIO()
    csv.writer(out).writerows([INVOICE_HEADER, *rows])
    return out.getvalue().encode()


class Shop(test_known_rows.Shop):
    """A shop whose exports land when the test says so."""

    def __init__(self, observer, config, monkeypatch):
        super().__init__(observer, config, monkeypatch)
        monkeypatch.setattr(landing_tasks, "touched_object", lambda *_: None)
        monkeypatch.setattr(batch_load, "touched_object", lambda *_: None)
        monkeypatch.setattr(batch_load, "touched_table", lambda *_: None)
        monkeypatch.setattr(batch_load.alerts, "update", lambda *_, **__: None)
        monkeypatch.setattr(task_cleaning, "client", lambda service, config=None: {"s3": self.s3, "sns": None}[service])
        monkeypatch.setattr(landing_tasks, "client", lambda service, config=None: {"s3": self.s3, "sns": None}[service])
        monkeypatch.setattr(batch_load, "client", lambda service, config=None: {"s3": self.s3, "sns": None}[service])
        self.contracts = load_contracts(PROJECT / "include/feeds")
        self.clock, fetch = datetime(2026, 1, 1, tzinfo=UTC), conversion._fetch

        def landed_as_told(*args):
            found, _ = fetch(*args)
            return found, self.landed[found.key, found.etag]

        monkeypatch.setattr(conversion, "_fetch", landed_as_told)
        self.landed = {}

    def export(self, *rows, body=None):
        """Puts a file to landing/, one minute after the one before, and returns its key."""
        self.exports += 1
        self.clock += timedelta(minutes=1)
        key = f"landing/online_retail/{self.invoice}-{self.exports}.csv"
        etag = self.s3.put_object(Bucket=self.config.bucket, Key=key, Body=as_csv(rows) if body is None else body)[
            "ETag"
        ]
        self.landed[key, etag.strip('"')] = self.clock
        return key

    def land(self, key, **flags):
        return conversion.land_files(self.s3, [(key, None)], self.contracts, Flags(**flags), self.config)

    def load_history(self, key, replace_by=COLUMN, on_known="stop", *, dry_run=False, **flags):
        """Runs the steps of the DAG, and returns the file's report."""
        params = DEFAULTS | {"replace_by": replace_by, "on_known": on_known, "dry_run": dry_run}
        replacing.check(params, self.contracts["online_retail"])
        group = self.land(key, **flags)
        landed = json.loads(json.dumps(asdict(group)))
        check_known_rows(landed, on_known, "auto")
        loaded = {} if dry_run else {b: batch_load.load_batch(b, on_known) for b in group.batches}
        replaced = json.loads(json.dumps(replace_rows(landed, replace_by, dry_run=dry_run)))
        [found] = reports.report_loaded(self.s3, group, loaded, self.config, replaced, dry_run=dry_run)
        return found

    def lines(self):
        """Returns invoice, description and quantity of what core has of the shop."""
        sql = (
            "SELECT invoice_no, description, quantity, event_id, event_version FROM core.fact_invoice_line "
            f"WHERE invoice_no LIKE '{self.invoice}%' ORDER BY 1, 2, 3, 4"
        )
        return self.observer.warehouse.query(sql)

    def core(self):
        """Returns the lines as "<invoice> <line> x <quantity>"."""
        return [
            f"{row[0].removeprefix(self.invoice)} {row[1].removeprefix('line ')} x {row[2]}" for row in self.lines()
        ]

    def core_sums(self):
        """Returns (rows, sum of quantities) of what core has of the shop."""
        return super().core()

    def level(self):
        """Whether core has what the loads say, and what a replay of all raw objects gives."""
        sql = (
            "SELECT SUM(clean - withdrawn + restored), (SELECT COUNT(*) FROM core.fact_invoice_line) FROM ops.batch_audit "
            "WHERE feed = 'online_retail'"
        )
        [[loaded, rows]] = self.observer.warehouse.query(sql)
        return int(loaded) == int(rows)


@pytest.fixture
def shop(observer, config, monkeypatch):
    return Shop(observer, config, monkeypatch)


def a(shop, number, quantity=1, invoice="A", **more):
    return shop.row(number, quantity=quantity, invoice=invoice, **more)


def test_a_changed_line_takes_the_place_of_the_old_one(shop):
    other = a(shop, 9, invoice="B")
    shop.load_history(shop.export(a(shop, 1), a(shop, 2), a(shop, 3), other), replace_by="")
    changed = shop.export(a(shop, 1), a(shop, 2, quantity=5), a(shop, 3), other)
    found = shop.load_history(changed)
    assert shop.core() == ["A 1 x 1", "A 2 x 5", "A 3 x 1", "B 9 x 1"]
    assert found["replaced"] == {
        "column": COLUMN,
        "values": 2,
        "changed": 1,
        "rows_withdrawn": 1,
        "rows_restored": 0,
        "left_alone": [],
        "warnings": [],
    }
    before = shop.lines()
    again = shop.load_history(changed)
    assert again["replaced"] == found["replaced"]  # what the file replaced, over all runs
    assert (again["clean"], shop.lines()) == (1, before)
    assert shop.level()


def test_a_line_that_is_gone_is_withdrawn_and_a_later_file_brings_it_back(shop):
    whole = [a(shop, 1), a(shop, 4), a(shop, 7)]  # of one day
    first = shop.export(*whole)
    shop.load_history(first)
    shop.load_history(shop.export(*whole[::2]))
    assert shop.core() == ["A 1 x 1", "A 7 x 1"]
    assert shop.load_history(first)["replaced"]["rows_restored"] == 0  # it is older
    assert shop.load_history(first, replace_by="")["state"] == "loaded"
    assert shop.core() == ["A 1 x 1", "A 7 x 1"]
    later = shop.export(*whole)
    assert shop.load_history(later, replace_by="")["replaced"] == {"rows_restored": 1}  # also without replace_by
    assert shop.core() == ["A 1 x 1", "A 4 x 1", "A 7 x 1"]
    assert [row[4] for row in shop.lines()] == [1, 3, 1]
    assert "replaced" not in shop.load_history(later, replace_by="")
    shop.load_history(shop.export(whole[0], whole[2]))
    found = shop.load_history(shop.export(*whole))
    assert (found["replaced"]["rows_restored"], [row[4] for row in shop.lines()]) == (1, [1, 5, 1])
    assert shop.level()


def test_repeated_lines_are_withdrawn_by_number(shop):
    shop.load_history(shop.export(*[a(shop, 1)] * 3, a(shop, 2)))
    shop.load_history(shop.export(a(shop, 1), a(shop, 2)))
    assert shop.core() == ["A 1 x 1", "A 2 x 1"]
    shop.load_history(shop.export(*[a(shop, 1)] * 2, a(shop, 2)))
    assert shop.core() == ["A 1 x 1"] * 2 + ["A 2 x 1"]
    assert shop.level()


def test_rows_that_the_shop_streamed_itself_stay_where_the_file_has_them(shop):
    shop.stream(a(shop, 1), a(shop, 2, customer=""), a(shop, 2, customer=""), a(shop, 4))
    key = shop.export(a(shop, 1), a(shop, 2, customer=""), a(shop, 7))
    with pytest.raises(PermanentError, match="on_known: skip"):
        shop.load_history(key)
    found = shop.load_history(key, on_known="skip")
    assert shop.core() == ["A 1 x 1", "A 2 x 1", "A 7 x 1"]
    assert found["replaced"]["rows_withdrawn"] == 2  # line 4, and one of the two equal ones
    assert shop.load_history(key)["replaced"]["rows_withdrawn"] == 2
    assert shop.core() == ["A 1 x 1", "A 2 x 1", "A 7 x 1"]


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(shop):
    shop.load_history(shop.export(a(shop, 1), a(shop, 2)))
    key, before = shop.export(a(shop, 1), a(shop, 2, quantity=3)), shop.lines()
    found = shop.load_history(key, dry_run=True)
    assert found["state"] == "dry_run"
    [warning] = found["replaced"].pop("warnings")
    assert warning.startswith(f"the file ends with invoice_no {shop.invoice}A, of which it lacks 1 rows that core has")
    assert found["replaced"] == {
        "dry_run": True,
        "column": COLUMN,
        "values": 1,
        "rows_withdrawn": 1,
        "rows_restored": 0,
        "first": [{"value": f"{shop.invoice}A", "rows": 1}],
        "left_alone": [],
    }
    assert shop.lines() == before
    shop.load_history(key)
    assert shop.core() == ["A 1 x 1", "A 2 x 3"]


def alone(report):
    return [(found["why"], found["rows"]) for found in report["replaced"]["left_alone"]]


def test_an_invoice_with_rejected_rows_is_left_alone_and_told(shop):
    shop.load_history(shop.export(a(shop, 1), a(shop, 2), a(shop, 3, invoice="B"), a(shop, 4, invoice="B")))
    broken = a(shop, 2, quantity="many")
    found = shop.load_history(shop.export(a(shop, 1), broken, a(shop, 3, invoice="B")))
    assert shop.core() == ["A 1 x 1", "A 2 x 1", "B 3 x 1"]
    assert alone(found) == [(replacing.REJECTED, 1)]
    assert found["replaced"]["left_alone"][0]["first"] == [f"{shop.invoice}A"]


@pytest.mark.parametrize("number", ["", "5.36E+05", "NULL"])
def test_a_row_without_a_readable_invoice_may_be_of_any(shop, number):
    shop.load_history(shop.export(a(shop, 1), a(shop, 2)))
    nobody = a(shop, 2)
    nobody[0] = number
    found = shop.load_history(shop.export(a(shop, 1), nobody))
    assert shop.core() == ["A 1 x 1", "A 2 x 1"]
    assert alone(found) == [(replacing.UNREADABLE.format(column=COLUMN), 1)]


def test_a_file_without_a_line_break_at_its_end_may_be_cut(shop):
    shop.load_history(shop.export(a(shop, 1), a(shop, 4), a(shop, 3, invoice="B"), a(shop, 6, invoice="B")))
    cut = as_csv([a(shop, 1), a(shop, 3, invoice="B")]).rstrip()
    found = shop.load_history(shop.export(body=cut))
    assert shop.core() == ["A 1 x 1", "B 3 x 1", "B 6 x 1"]
    assert alone(found) == [(replacing.UNFINISHED, 1)]


def test_an_invoice_with_rows_on_other_days_than_the_file_is_left_alone(shop):
    shop.load_history(shop.export(a(shop, 1), a(shop, 2), a(shop, 4)))  # on two days
    found = shop.load_history(shop.export(a(shop, 1)))
    assert shop.core() == ["A 1 x 1", "A 2 x 1", "A 4 x 1"]
    assert alone(found) == [(replacing.OUTSIDE, 2)]


def test_a_zip_with_a_file_that_cannot_be_read_withdraws_nothing(shop):
    shop.load_history(shop.export(a(shop, 1), a(shop, 7), a(shop, 4)))
    body = as_zip({"a.csv": as_csv([a(shop, 1), a(shop, 4)]), "b.csv": b"hello"})
    found = shop.load_history(shop.export(body=body))
    assert (found["state"], alone(found)) == ("partly_loaded", [(replacing.UNREAD_MEMBERS, 1)])
    assert len(shop.core()) == 3
    body = as_zip({"a.csv": as_csv([a(shop, 1)]), "b.csv": as_csv([a(shop, 4)])})
    shop.load_history(shop.export(body=body))
    assert shop.core() == ["A 1 x 1", "A 4 x 1"]


def test_a_file_of_which_every_row_is_rejected_withdraws_nothing(shop):
    shop.load_history(shop.export(a(shop, 1)))
    found = shop.load_history(shop.export(a(shop, 1, quantity="x")))
    assert (found["quarantined"], found["replaced"]["rows_withdrawn"], shop.core()) == (1, 0, ["A 1 x 1"])


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"replace_by": "", "dry_run": True}, "dry_run says what replace_by would do"),
        ({"identity": "file"}, "known by file and line"),
        (
            {"replace_by": "customer_id"},
            "expected a column of texts that each row has, one of invoice_no, stock_code, country",
        ),
        ({"replace_by": "quantity"}, "expected a column of texts"),
        ({"on_known": "add"}, "added and taken out again"),
        (
            {"more": [{"key": "landing/online_retail/b.csv", "etag": "e"}]},
            "one file a run replaces rows, and this run has 2",
        ),
    ],
)
def test_parameters_that_cannot_replace(contracts, params, says):
    with pytest.raises(PermanentError, match=re.escape(says)):
        replacing.check(DEFAULTS | params, contracts["online_retail"])
    with pytest.raises(PermanentError, match="known by file and line"):
        replacing.check(DEFAULTS, contracts["product_events"])


def test_lines_of_raw_get_another_version_and_nothing_else():
    line = b'{"event_id":"a","feed":"f","schema_version":1,"event_time":null,"sent_at":"s","data":{"event_version":"x","n":1.10}}'
    second = line.replace(b'1,"event_time', b'1,"event_version":2,"event_time')
    assert raw_lines.in_version(line, 2) == second
    assert raw_lines.in_version(second, 30) == second.replace(b'version":2', b'version":30')
    assert raw_lines.event_id_of(line) == "a"
    assert raw_lines.event_id_of(b'{"data":{}}') == ""


class KilledError(Exception):
    """The worker is gone."""


@pytest.mark.nightly
def test_a_worker_that_is_killed_before_any_call_is_made_good_by_the_next(shop, monkeypatch):
    whole = [a(shop, n) for n in (1, 4, 7, 10, 13)]
    shop.load_history(shop.export(*whole))
    shop.load_history(shop.export(*whole[:3], *whole[4:]))  # the fourth is taken out
    changed = shop.export(whole[0], a(shop, 4, quantity=9), *whole[3:])  # one is changed, one is gone, one is back
    group = shop.land(changed)
    landed = json.loads(json.dumps(asdict(group)))
    check_known_rows(landed, "stop", "auto")
    for batch_id in group.batches:
        batch_load.load_batch(batch_id, "stop")
    left = [0]
    writes = {
        "PutObject",
        "DeleteObject",
        "ExecuteStatement",
        "BatchExecuteStatement",
    }  # between two of them nothing changes

    def dies(model, **_):
        left[0] -= model.name in writes
        if left[0] == 0 and model.name in writes:
            raise KilledError

    for client in (shop.s3, shop.observer.warehouse.client):
        client.meta.events.register("before-call", dies, unique_id="killer")
    try:
        for number in itertools.count(1):
            left[0] = number
            try:
                found = replace_rows(landed, COLUMN, dry_run=False)
            except Exception:
                if left[0] > 0:  # it is not of the kill
                    raise
                continue
            break
    finally:
        for client in (shop.s3, shop.observer.warehouse.client):
            client.meta.events.unregister("before-call", dies, unique_id="killer")
    assert number > 15
    assert found[changed]["rows_withdrawn"] == 2
    assert shop.core() == ["A 1 x 1", "A 10 x 1", "A 13 x 1", "A 4 x 9"]
    assert shop.level()
    # No object of raw/ was left that no batch has, and nothing of the plan.
    keys = {
        entry["Key"]
        for prefix in ("raw/feed=online_retail/dt=2026-01-01/", "manifests/replacing/")
        for entry in shop.s3.list_objects_v2(Bucket=shop.config.bucket, Prefix=prefix).get("Contents", [])
    }
    moved = {key for key in keys if re.search("-(withdrawn|restored)-", key)}
    assert not [key for key in keys if key.startswith(replacing.REPLACING)]
    sql = "SELECT object_key FROM ops.batch_object WHERE feed = 'online_retail'"
    assert moved <= {row[0] for row in shop.observer.warehouse.query(sql)}


@pytest.mark.nightly
def test_exports_in_any_order_of_runs_give_the_same_core(observer, config, monkeypatch):
    """Each export has some lines of two invoices; the one that landed last counts, whichever run comes last."""
    lines = [(1, 1), (4, 1), (4, 2), (7, 1), (1, 1)]

    @hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=2, max_size=4), st.data())
    def same(contents, data):
        found = []
        for order in (range(len(contents)), data.draw(st.permutations(range(len(contents))))):
            with monkeypatch.context() as patch:
                shop = Shop(observer, config, patch)
                keys = [
                    shop.export(
                        *(a(shop, n, quantity=q) for n, q in (lines[i] for i in sorted(of))), a(shop, 10), a(shop, 13)
                    )
                    for of in contents
                ]
                for index in order:
                    shop.load_history(keys[index])
                    shop.load_history(keys[order[0]])  # an earlier one, again
                found.append(shop.core())
                assert shop.level()
        newest = sorted(f"A {n} x {q}" for n, q in [*(lines[i] for i in contents[-1]), (10, 1), (13, 1)])
        assert found[0] == newest
        assert found[1] == newest

    same()


@pytest.mark.nightly
def test_a_month_of_online_retail_that_is_exported_again(shop, online_retail):
    """December 2010, of which the shop changes one line of 536365, deletes one of 536367, and cancels nothing."""
    with gzip.open(online_retail, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    header, month = (
        rows[0],
        [row for row in rows[1:] if re.match(r"12/\d+/2010 ", row[4]) or row[4].startswith("2010-12-")],
    )
    assert (header, len(month)) == (INVOICE_HEADER, 42_481)  # UCI data set 352
    own = [[shop.invoice + row[0], *row[1:]] for row in month]
    shop.config = shop.config.model_copy(update={"history_object_rows": 5000, "history_batch_rows": 50_000})
    first = shop.load_history(shop.export(*own), replace_by="", date_order="mdy")
    assert (first["clean"], first["quarantined"]) == (42_481, 0)
    whole = shop.core_sums()
    of = {number: [i for i, row in enumerate(month) if row[0] == number] for number in ("536365", "536367")}
    changed = [list(row) for row in own]
    changed[of["536365"][0]][3] = "600"  # 85123A: six of them
    gone = changed.pop(of["536367"][-1])
    found = shop.load_history(shop.export(*changed), date_order="mdy")
    assert [found[name] for name in ("clean", "duplicates", "new_beside_known")] == [1, 42_479, 1]
    replaced = found["replaced"]
    assert (replaced["values"], replaced["changed"], replaced["rows_withdrawn"]) == (
        len({row[0] for row in month}),
        2,
        2,
    )
    assert (replaced["left_alone"], replaced["warnings"]) == ([], [])
    pieces = 600 - 6 - int(gone[3])
    assert shop.core_sums() == (whole[0] - 1, whole[1] + pieces)
    back = shop.load_history(shop.export(*own), date_order="mdy")
    assert (back["replaced"]["rows_withdrawn"], back["replaced"]["rows_restored"]) == (1, 2)
    assert shop.core_sums() == whole
    assert shop.level()
