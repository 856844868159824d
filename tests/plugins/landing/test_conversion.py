"""A landed file becomes raw objects and manifests, with the ids of a replay."""

import gzip
import hashlib
import io
import json

import openpyxl
import pytest
from ecommerce_elt.batches import manifests
from ecommerce_elt.batches.clean_files import COUNTS
from ecommerce_elt.erasure.lake import _is_of
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.events import event_ids
from ecommerce_elt.landing import conversion, reports
from ecommerce_elt.landing.files import LandedFile, new_files
from ecommerce_elt.landing.landed import LandedGroup
from ecommerce_elt.readers.flags import Flags
from typer.testing import CliRunner

from producer import __main__ as producer
from producer.sink import Report
from tests.support.file_formats import HEADER, as_csv, as_lines, as_parquet, as_records
from tests.support.landed_files import INVOICE_LINES, ROWS, clean, etag_of, events, report, small
from tests.support.online_retail import INVOICE_HEADER
from tests.support.spreadsheets import as_xlsx, as_zip


def test_rows_become_events_with_the_ids_of_a_replay(land):
    body = as_csv(ROWS)
    landed = land(body)
    identify = event_ids(hashlib.sha256(body).hexdigest())
    found = events(land, landed)
    assert [e["event_id"] for e in found] == [identify(line) for line in range(2, 12)]
    assert [e["data"]["product_id"] for e in found] == [row[1] for row in ROWS]
    assert found[0]["event_time"] == "2026-01-01T00:00:00Z"
    assert (landed.rows, len(landed.batches)) == (10, 2)  # six rows, and four
    keys = [o.key for b in landed.batches for o in manifests.read_manifest(land.s3, land.config.bucket, b).objects]
    assert len(keys) == 4
    assert all(manifests.RAW_KEY.match(key) for key in keys)
    assert not any(key.endswith(".jsonl.gz") for key in keys)  # the queue does not announce them


def test_twice_is_once_and_packing_or_naming_it_otherwise_gives_the_same_events(land, contracts):
    first = land(as_csv(ROWS))
    again = conversion.land_file(land.s3, first.key, contracts, Flags(), land.config)
    assert again.batches == first.batches
    packed = land(gzip.compress(as_csv(ROWS)), "landing/product_events/2026/packed.csv.gz")
    assert [e["event_id"] for e in events(land, packed)] == [e["event_id"] for e in events(land, first)]


def test_a_workbook_is_read_as_the_producer_reads_it(land):
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    for row in ROWS:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    landed = land(out.getvalue(), "landing/product_events/book.xlsx")
    assert [e["data"]["product_id"] for e in events(land, landed)] == [row[1] for row in ROWS]


def test_flags_say_what_the_file_leaves_open(land):
    body = as_csv(
        [[*row[:3], "2,50"] for row in ROWS], header=["event_time", "Artikel", "quantity", "price"], delimiter=";"
    )
    with pytest.raises(PermanentError, match="cannot be loaded; why, and in which line, is in s3://"):
        land(body)
    landed = land(body, flags=Flags(decimal_comma=True, columns={"product_id": "Artikel"}))
    assert {e["data"]["price"] for e in events(land, landed)} == {"2.50"}


def test_a_file_that_changed_since_it_was_found_is_left_to_its_own_run(land):
    with pytest.raises(PermanentError, match="another file than when it was found"):
        land(as_csv(ROWS), etag="0" * 32)


def test_a_file_that_is_replaced_after_it_was_found_is_left_to_the_run_of_the_new_one(land, contracts):
    files = [("landing/product_events/a.csv", "0" * 32), ("landing/product_events/b.csv", None)]
    for key, _ in files:
        land.s3.put_object(Bucket=land.config.bucket, Key=key, Body=small(1))
    group = conversion.land_files(land.s3, files, contracts, Flags(), land.config)
    assert ([file.key for file in group.files], group.failed, group.replaced) == ([files[1][0]], [], [files[0][0]])
    assert report(land, LandedFile(*files[0]))["state"] == "replaced"
    assert conversion.land_files(land.s3, files[:1], contracts, Flags(), land.config).batches == []
    found = land.s3.list_objects_v2(Bucket=land.config.bucket, Prefix="landing/")["Contents"]
    assert "landing/product_events/a.csv" in [
        file.key for file in new_files(found)
    ]  # the new one is still to be loaded


@pytest.mark.parametrize("etag_is_given", [True, False])
def test_a_file_that_is_replaced_between_being_found_and_read(land, contracts, etag_is_given):
    key, old, new = "landing/product_events/a.csv", small(1, 3), small(50, 4)
    etag = land.s3.put_object(Bucket=land.config.bucket, Key=key, Body=old)["ETag"].strip('"')

    class Replacing:
        exceptions = land.s3.exceptions

        def __getattr__(self, name):
            return getattr(land.s3, name)

        def get_object(self, **request):
            if request["Key"] == key:
                land.s3.put_object(Bucket=land.config.bucket, Key=key, Body=new)
            return land.s3.get_object(**request)

    group = conversion.land_files(
        Replacing(), [(key, etag if etag_is_given else None)], contracts, Flags(), land.config
    )
    if etag_is_given:
        assert (group.files, group.replaced) == ([], [key])
    else:  # a run by hand is for the file as it is
        [landed] = group.files
        assert (landed.etag, landed.rows) == (hashlib.md5(new).hexdigest(), 4)


def test_small_files_share_a_batch_and_each_has_its_own_report(land, contracts):
    bad = as_csv([["2026-01-01", "", "1", "2.50"], ["2026-01-01", "P1", "1", "2.50"]])
    bodies = {
        "landing/product_events/a.csv": small(10),
        "landing/product_events/b.csv": b"no header that fits\n1\n",
        "landing/product_events/c.csv": bad,
        "landing/product_events/d.csv": small(10),  # the same content as a.csv
        "landing/product_events/e.csv": small(30),
    }
    group = land.all(bodies)
    assert group.failed == ["landing/product_events/b.csv"]
    assert (
        "line 1 has no column"
        in report(land, LandedFile("landing/product_events/b.csv", etag_of(bodies, "b")))["error"]
    )
    assert [len(file.batches) for file in group.files] == [1, 1, 1, 1]
    assert len(group.batches) == 2  # of six rows, and of two
    again = conversion.land_files(land.s3, [(key, None) for key in bodies], contracts, Flags(), land.config)
    assert again == group  # idempotent

    reports.report_loaded(land.s3, group, clean(land, group), land.config)
    found = {file.key[23:24]: report(land, file) for file in group.files}
    counts = {name: [r[count] for count in COUNTS] for name, r in found.items()}
    assert sorted([counts.pop("a"), counts.pop("d")]) == [[2, 0, 0, 2], [2, 2, 0, 0]]  # one of the two copies
    assert counts == {"c": [2, 1, 1, 0], "e": [2, 2, 0, 0]}
    assert {name: [line["line"] for line in r["rejected"]] for name, r in found.items()} == {
        "a": [],
        "c": [2],
        "d": [],
        "e": [],
    }


def test_files_of_two_feeds_are_no_group(land):
    invoices = as_csv(
        [["536365", "85123A", "HEART", "6", "2010-12-01 08:26:00", "2.55", "17850", "France"]],
        header=INVOICE_HEADER,
    )
    with pytest.raises(PermanentError, match="expected files of one feed"):
        land.all({"landing/product_events/a.csv": small(1), "landing/online_retail/b.csv": invoices})


def test_where_no_file_can_be_read_the_run_fails_and_each_has_its_report(land):
    bodies = {f"landing/product_events/{name}.csv": name.encode() for name in "ab"}
    with pytest.raises(PermanentError, match="a.csv cannot be loaded"):
        land.all(bodies)
    for name in "ab":
        assert (
            report(land, LandedFile(f"landing/product_events/{name}.csv", etag_of(bodies, name)))["state"] == "failed"
        )


class ListSink:
    """What a sink gets of `producer replay`."""

    def __init__(self):
        self.report, self.sent = Report(), []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.report.sent.update(record.counted_as for record in self.sent)

    def put(self, record):
        self.sent.append(record)

    def flush(self):
        pass


@pytest.mark.parametrize("identity", [None, "rows", "file"])
def test_a_replay_gives_the_ids_of_the_landed_file(land, tmp_path, monkeypatch, identity):
    body = as_csv(INVOICE_LINES, header=INVOICE_HEADER)
    landed = land(body, "landing/online_retail/x.csv", Flags(identity=identity))
    (tmp_path / "x.csv").write_bytes(body)
    sink = ListSink()
    monkeypatch.setattr(producer, "open_sink_of", lambda *_, **__: lambda on_sent: sink)
    arguments = ["replay", str(tmp_path / "x.csv"), *(["--identity", identity] if identity else [])]
    done = CliRunner().invoke(producer.app, arguments)
    assert done.exit_code == 0, done.output
    ids = [json.loads(record.data)["event_id"] for record in sink.sent]
    assert ids == [e["event_id"] for e in events(land, landed)]
    assert len({*ids}) == 16
    assert landed.repeated_rows == (0 if identity == "file" else 4)
    says = "ids by data set and line" if identity == "file" else "4 rows repeat another"
    assert says in done.output


def test_overlapping_exports_add_only_what_is_new(land):
    first = land(as_csv(INVOICE_LINES[:12], header=INVOICE_HEADER), "landing/online_retail/first.csv")
    both = LandedGroup(
        [first, land(as_csv(INVOICE_LINES[::-1], header=INVOICE_HEADER), "landing/online_retail/second.csv")], []
    )
    ids = [{e["event_id"] for e in events(land, file)} for file in both.files]
    assert [len(found) for found in ids] == [12, 16]
    assert ids[0] < ids[1]


def test_a_zip_of_several_kinds_lands_with_one_report(land, contracts):
    bad = ["2026-01-01", "P?!", "1", "2.50"]
    files = {
        "orders/a.csv": as_csv(ROWS[:4]),
        "b.xlsx": as_xlsx([["Movements"], HEADER, *ROWS[4:6], HEADER, ["Total", None, None, None]]),
        "c.jsonl": as_lines(as_records([*ROWS[6:8], bad])),
        "d.gz": gzip.compress(as_parquet(as_records(ROWS[8:]))),
        "again.csv": as_csv(ROWS[:4]),  # the same content as a.csv
        "__MACOSX/._a.csv": b"x",
    }
    landed = land(as_zip(files), "landing/product_events/all.zip")
    assert [part.name for part in landed.parts] == list(files)[:-1]
    found = events(land, landed)
    assert sorted(e["data"]["product_id"] for e in found) == sorted(
        [*(row[1] for row in [*ROWS, *ROWS[:4]]), "", "P?!"]
    )
    alone = land(files["c.jsonl"], "landing/product_events/alone.txt")  # each has the ids that it has alone
    assert {e["event_id"] for e in events(land, alone)} < {e["event_id"] for e in found}

    reports.report_loaded(land.s3, LandedGroup([landed], []), clean(land, landed), land.config)
    whole = report(land, landed)
    assert (whole["state"], whole["rows"], whole["skipped"]) == ("loaded", 16, ["__MACOSX/._a.csv"])
    # One of the rows of b.xlsx is a label alone: data that the cleaning rejects. The copy of a.csv is in another batch.
    assert [whole[count] for count in COUNTS] == [16, 14, 2, 0]
    members = {member["member"]: member for member in whole["members"]}
    assert {name: [line["line"] for line in m["rejected"]] for name, m in members.items() if m["rejected"]} == {
        "b.xlsx": [6],
        "c.jsonl": [3],
    }
    assert {k: v["lines"] for k, v in members["b.xlsx"]["left_out"].items()} == {"title": [1], "repeated_header": [5]}
    assert sum(member["accepted"] for member in members.values()) == whole["accepted"]
    assert conversion.land_file(land.s3, landed.key, contracts, Flags(), land.config) == landed  # idempotent
    # Whose records are in one file of the zip is found by the report, when a customer is erased.
    raw = [
        raw.key
        for batch in landed.batches
        for raw in manifests.read_manifest(land.s3, land.config.bucket, batch).objects
    ]
    assert all(_is_of(whole, {key}, set()) for key in raw)
    assert not _is_of(whole, {"raw/feed=product_events/dt=2026-01-01/hour=00/landed-other"}, set(landed.batches))
