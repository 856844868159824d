"""A landed file becomes raw objects and manifests, with a report beside it that names lines."""

import csv
import gzip
import hashlib
import io
import json
import re
import shlex
from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ecommerce_elt.batches import manifests
from ecommerce_elt.batches.clean_files import COUNTS
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.erasure import layers as erasure_layers
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.events import event_ids
from ecommerce_elt.landing import files as landing_files
from ecommerce_elt.landing import history
from ecommerce_elt.landing.files import LandedFile, new_files
from ecommerce_elt.landing.history import LandedGroup
from ecommerce_elt.landing.tabular import Flags
from typer.testing import CliRunner

from producer import __main__ as producer
from producer.sink import Report
from tests.support.spreadsheets import as_xlsx, as_zip

HEADER = ["event_time", "product_id", "quantity", "price"]
ROWS = [[f"2026-01-0{1 + i % 9}T00:00:00Z", f"P{i}", str(i + 1), "2.50"] for i in range(10)]


def as_csv(rows, header=HEADER, **dialect):
    out = io.StringIO()
    writer = csv.writer(out, **dialect)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


@pytest.fixture
def land(s3, bucket, config, contracts):
    own = config.model_copy(update={"bucket": bucket, "history_object_rows": 3, "history_batch_rows": 6})

    def land(body, key="landing/product_events/a file.csv", flags=None, **arguments):
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        return history.land_file(s3, key, contracts, flags or Flags(), own, **arguments)

    def land_all(bodies):
        for key, body in bodies.items():
            s3.put_object(Bucket=bucket, Key=key, Body=body)
        return history.land_files(s3, [(key, None) for key in bodies], contracts, Flags(), own)

    land.s3, land.config, land.all = s3, own, land_all
    return land


def clean(land, landed):
    """Returns batch id to counts of the file's batches, as a load into an empty warehouse commits them."""
    loaded = {}
    for batch_id in landed.batches:
        cleaned = clean_batch(land.s3, manifests.read_manifest(land.s3, land.config.bucket, batch_id), land.config)
        loaded[batch_id] = {name: getattr(cleaned, name) for name in COUNTS}
    return loaded


def events(land, landed):
    found = []
    for batch_id in landed.batches:
        for raw in manifests.read_manifest(land.s3, land.config.bucket, batch_id).objects:
            body = land.s3.get_object(Bucket=raw.bucket, Key=raw.key)["Body"].read()
            found += [json.loads(line) for line in gzip.decompress(body).splitlines()]
    return found


def report(land, landed):
    key = LandedFile(landed.key, landed.etag).report_key
    return json.loads(land.s3.get_object(Bucket=land.config.bucket, Key=key)["Body"].read())


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
    again = history.land_file(land.s3, first.key, contracts, Flags(), land.config)
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


@pytest.mark.parametrize(
    ("body", "key", "error"),
    [
        (as_csv(ROWS, header=["a", "b", "c", "d"]), "landing/product_events/x.csv", "line 1 has no column"),
        (as_csv(ROWS) + b"2026-01-01,caf\xe9 Secret,1,2\n", "landing/product_events/x.csv", "line 12 is not UTF-8"),
        (as_csv(ROWS) + b'2026-01-01,"open,1,2\n', "landing/product_events/x.csv", "line 12: "),
        (b"", "landing/product_events/x.csv", "the file is empty"),
        (gzip.compress(as_csv(ROWS), mtime=0)[:-9], "landing/product_events/x.csv.gz", "cannot be unpacked"),
        (as_csv(ROWS), "landing/sales/x.csv", "expected landing/<feed>/<name> with a feed of"),
        (as_csv(ROWS), "landing/x.csv", "expected landing/<feed>/<name> with a feed of"),
    ],
)
def test_a_file_that_fails_leaves_a_report_and_no_value_in_the_message(land, body, key, error):
    with pytest.raises(PermanentError) as raised:
        land(body, key)
    assert "Secret" not in str(raised.value)
    [entry] = [
        e
        for e in land.s3.list_objects_v2(Bucket=land.config.bucket, Prefix="landing/")["Contents"]
        if e["Key"].endswith(".report.json")
    ]
    found = json.loads(land.s3.get_object(Bucket=land.config.bucket, Key=entry["Key"])["Body"].read())
    assert found["state"] == "failed"
    assert error in found["error"]
    assert str(land.config.work_dir) not in found["error"]
    assert "Contents" not in land.s3.list_objects_v2(Bucket=land.config.bucket, Prefix="manifests/")


def test_a_file_that_changed_since_it_was_found_is_left_to_its_own_run(land):
    with pytest.raises(PermanentError, match="another file than when it was found"):
        land(as_csv(ROWS), etag="0" * 32)


def test_rejected_records_are_reported_with_their_line_in_the_file(land):
    rows = [*ROWS[:3], ["2026-01-01", "two\nlines", "many", "2.50"], [], ["2026-01-01", "", "1", "2.50"], *ROWS[3:]]
    landed = land(as_csv(rows))
    [found] = history.report_loaded(land.s3, LandedGroup([landed], []), clean(land, landed), land.config)
    assert {k: report(land, landed)[k] for k in found} == found
    assert (found["rows"], found["blank_lines"], found["clean"], found["quarantined"]) == (12, 1, 10, 2)
    # The first of them spans lines 5 and 6; line 7 is blank.
    assert [(r["line"], [x["column_name"] for x in r["reasons"]]) for r in found["rejected"]] == [
        (5, ["product_id", "quantity"]),
        (8, ["product_id"]),
    ]
    assert report(land, landed)["state"] == "loaded"


def test_a_batch_that_was_not_loaded_makes_the_report_a_failure(land):
    landed = land(as_csv(ROWS))
    [found] = history.report_loaded(land.s3, LandedGroup([landed], []), {}, land.config)
    assert (found["state"], found["error"][:32]) == ("failed", "2 of 2 batches were not loaded: ")


def small(first, rows=2):
    """A file of some rows that no other has."""
    return as_csv([[f"2026-01-0{1 + i % 9}T00:00:00Z", f"Q{first + i}", "1", "2.50"] for i in range(rows)])


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
    again = history.land_files(land.s3, [(key, None) for key in bodies], contracts, Flags(), land.config)
    assert again == group  # idempotent

    history.report_loaded(land.s3, group, clean(land, group), land.config)
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


def etag_of(bodies, name):
    return hashlib.md5(bodies[f"landing/product_events/{name}.csv"]).hexdigest()


def test_events_that_core_had_are_duplicates_of_their_own_file(land):
    group = land.all({"landing/product_events/a.csv": small(10), "landing/product_events/b.csv": small(20, 3)})
    [batch_id] = group.batches
    loaded = clean(land, group)
    identify = event_ids(group.files[1].parts[0].data_set)
    known = io.BytesIO()
    pq.write_table(pa.table({"event_id": [identify(2), identify(4)]}), known)  # as UNLOAD writes them for publish_batch
    land.s3.put_object(Bucket=land.config.bucket, Key=f"manifests/{batch_id}/known/0000", Body=known.getvalue())
    loaded[batch_id] |= {"clean": 3, "duplicates": 2}
    found = history.report_loaded(land.s3, group, loaded, land.config)
    assert [[r[count] for count in COUNTS] for r in found] == [[2, 2, 0, 0], [3, 1, 0, 2]]


def test_a_batch_that_was_not_loaded_fails_the_files_that_have_a_part_of_it_alone(land):
    group = land.all({f"landing/product_events/{name}.csv": small(i, 3) for i, name in enumerate("abc")})
    loaded = clean(land, group)
    del loaded[group.files[2].batches[0]]
    assert [r["state"] for r in history.report_loaded(land.s3, group, loaded, land.config)] == [
        "loaded",
        "loaded",
        "failed",
    ]


def test_files_of_two_feeds_are_no_group(land):
    invoices = as_csv(
        [["536365", "85123A", "HEART", "6", "2010-12-01 08:26:00", "2.55", "17850", "France"]],
        header=[
            "InvoiceNo",
            "StockCode",
            "Description",
            "Quantity",
            "InvoiceDate",
            "UnitPrice",
            "CustomerID",
            "Country",
        ],
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


def test_files_of_a_feed_go_together_up_to_a_size_and_a_number():
    def named(name, size, feed="f"):
        return LandedFile(f"landing/{feed}/{name}", "e" * 32, size)

    files = [named("a", 4), named("b", 90), named("c", 6), named("x", 1, "g"), named("d", 1), named("big", 300)]
    groups = landing_files.in_groups(files, 100)
    assert [[file.key[-3:].strip("/") for file in group] for group in groups] == [
        ["f/a", "f/b", "f/c"],
        ["g/x"],
        ["f/d"],
        ["big"],
    ]
    no_feed = [LandedFile("landing/x.csv", "e" * 32, 1), LandedFile("landing/y.csv", "e" * 32, 1)]
    assert [len(group) for group in landing_files.in_groups(no_feed, 100)] == [1, 1]
    many = [named(f"{i:04}", 0) for i in range(landing_files.GROUP_FILES + 1)]
    assert [len(group) for group in landing_files.in_groups(many, 100)] == [landing_files.GROUP_FILES, 1]
    assert [len(group) for group in landing_files.in_groups(files, 0)] == [1] * len(files)


def test_new_files_are_those_without_a_report_of_the_same_content():
    etag, other = "a" * 32, "b" * 32
    listed = [
        {"Key": "landing/f/", "ETag": '"x"'},
        {"Key": "landing/f/done.csv", "ETag": f'"{etag}"'},
        {"Key": f"landing/f/done.csv.{etag}.report.json", "ETag": '"r"'},
        {"Key": "landing/f/replaced.csv", "ETag": f'"{other}"'},
        {"Key": f"landing/f/replaced.csv.{etag}.report.json", "ETag": '"r"'},
        {"Key": "landing/f/new.csv", "ETag": f'"{etag}-3"'},
    ]
    assert new_files(listed) == [
        LandedFile("landing/f/new.csv", f"{etag}-3"),
        LandedFile("landing/f/replaced.csv", other),
    ]


def test_a_run_that_left_no_report_gets_one_once(land):
    land.s3.put_object(Bucket=land.config.bucket, Key="landing/product_events/x.csv", Body=b"x")
    file = LandedFile("landing/product_events/x.csv", "c" * 32)
    assert history.report_unfinished(land.s3, file, "run-1", land.config.bucket) is True
    assert history.report_unfinished(land.s3, file, "run-1", land.config.bucket) is False


SENT_AT = re.compile(rb'(?<="sent_at":")[^"]*')


def raw_lines(land, landed):
    """The bytes of all raw objects, one after the other, but for the time at which the file landed."""
    found = b""
    for batch_id in landed.batches:
        for raw in manifests.read_manifest(land.s3, land.config.bucket, batch_id).objects:
            body = gzip.decompress(land.s3.get_object(Bucket=raw.bucket, Key=raw.key)["Body"].read())
            found += SENT_AT.sub(b"T", body)
    return found


ODD_ROWS = [
    ["2026-01-01T00:00:00Z", 'a "quoted" \\ name', "1", "2.50"],
    ["2026-01-01 10:00:00.123456+02:00", "two\nlines\r\nand\ttab", "00012", "£ é 漢 😀"],
    ["soon", "\x00\x1f\x7f\x80\u2028</script>", "", ""],
    ["", "no time", "1e3", " 2.50 "],
    ["", "", "", ""],
    ["2026-01-02T00:00:00Z", "one too many", "1", "1", "'", "\x7f"],
    ["2026-01-02T00:00:00Z", "too few"],
    ["2026-02-30", "no such day", "1", "1"],
]
TYPED_ROWS = [
    [datetime(2026, 1, 1, 8, 26), "00123", 1, 2.5],
    [datetime(2026, 1, 2), 123, 1.0, -0.0],
    [datetime(2026, 1, 2, 23, 59, 59, 999000), True, 0.1 + 0.2, 1e-7],
    [date(2026, 1, 3), "#N/A", 123456789012345, 1.5e20],
    [time(8, 26), timedelta(hours=30, minutes=1), "=1+1", "#DIV/0!"],
    ["2026-01-04", None, None, None],
    [None, None, None, None],
    [46026.5, ' "x" \\ é\n2', 1 / 3, 100000],
]


ODD_FILES = [
    (
        "odd.csv",
        as_csv(ODD_ROWS, header=[*HEADER[:2], 'Mengé "x" \\', "price"]),
        Flags(columns={"quantity": 'Mengé "x" \\'}),
    ),
    ("more.csv", as_csv(ODD_ROWS[:3], header=[*HEADER, 'new "key" é\\']), Flags(data_set="näme", event_version=7)),
    (
        "comma.csv",
        as_csv([["13/1/2026 08:26", "a,b", "1", "2,50"], ["1/2/2026", "", "", "1"]], delimiter=";"),
        Flags(decimal_comma=True),
    ),
    ("odd.xlsx", as_xlsx([HEADER, *TYPED_ROWS]), Flags(data_set="a workbook", date_order="ymd")),
]


def test_the_bytes_of_odd_records(land):
    found = b"".join(
        raw_lines(land, land(body, f"landing/product_events/{name}", flags)) for name, body, flags in ODD_FILES
    )
    assert found == (Path(__file__).parent / "landed_odd_records.ndjson").read_bytes()


def test_the_bytes_of_the_real_file(s3, bucket, config, contracts, online_retail):
    own = config.model_copy(update={"bucket": bucket})
    s3.upload_file(str(online_retail), bucket, "landing/online_retail/all.csv.gz")
    landed = history.land_file(s3, "landing/online_retail/all.csv.gz", contracts, Flags(identity="file"), own)
    objects = [raw for each in landed.batches for raw in manifests.read_manifest(s3, bucket, each).objects]
    assert len(objects) == 22  # 25,000 lines each
    lines = b"".join(gzip.decompress(s3.get_object(Bucket=bucket, Key=raw.key)["Body"].read()) for raw in objects)
    assert hashlib.sha256(SENT_AT.sub(b"T", lines)).hexdigest() == (
        "b36cfd6d1e0adf259b8bea587a954810bc7994e1576322c506c7fa0b52f2802c"
    )
    assert sum(raw.size for raw in objects) < 33_000_000  # zlib, level 1, makes 30,005,884


INVOICES = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
LINES = [
    ["536365", f"8512{i % 4}", "HEART", "6", f"12/{13 + i % 3}/2010 8:26", "2.55", "17850", "France"] for i in range(16)
]


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
    body = as_csv(LINES, header=INVOICES)
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
    first = land(as_csv(LINES[:12], header=INVOICES), "landing/online_retail/first.csv")
    both = history.LandedGroup(
        [first, land(as_csv(LINES[::-1], header=INVOICES), "landing/online_retail/second.csv")], []
    )
    ids = [{e["event_id"] for e in events(land, file)} for file in both.files]
    assert [len(found) for found in ids] == [12, 16]
    assert ids[0] < ids[1]


def test_rejected_rows_are_reported_with_their_line_where_their_values_make_the_ids(land):
    bad = ["536365", "85123A", "two\nlines", "many", "12/13/2010 8:26", "2.55", "17850", "France"]
    landed = land(as_csv([*LINES[:2], bad, [], bad, *LINES[2:5]], header=INVOICES), "landing/online_retail/x.csv")
    [found] = history.report_loaded(land.s3, LandedGroup([landed], []), clean(land, landed), land.config)
    assert [(r["line"], r["reasons"][0]["column_name"]) for r in found["rejected"]] == [
        (4, "quantity"),
        (7, "quantity"),
    ]
    assert (found["identity"], found["repeated_rows"]) == (
        "invoice_no, stock_code, description, quantity, invoice_date, unit_price, customer_id, country",
        1,
    )


# -- zips, other formats, what is left out ----------------------------------------------------------------------------


def as_parquet(rows):
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(zip(HEADER, row, strict=True)) for row in rows]), out)
    return out.getvalue()


def as_json_lines(rows):
    return "\n".join(json.dumps(dict(zip(HEADER, row, strict=True))) for row in rows).encode()


def test_a_zip_of_several_kinds_lands_with_one_report(land, contracts):
    bad = ["2026-01-01", "P?!", "1", "2.50"]
    files = {
        "orders/a.csv": as_csv(ROWS[:4]),
        "b.xlsx": as_xlsx([["Movements"], HEADER, *ROWS[4:6], HEADER, ["Total", None, None, None]]),
        "c.jsonl": as_json_lines([*ROWS[6:8], bad]),
        "d.gz": gzip.compress(as_parquet(ROWS[8:])),
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

    history.report_loaded(land.s3, LandedGroup([landed], []), clean(land, landed), land.config)
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
    assert history.land_file(land.s3, landed.key, contracts, Flags(), land.config) == landed  # idempotent
    # Whose records are in one file of the zip is found by the report, when a customer is erased.
    raw = [
        raw.key
        for batch in landed.batches
        for raw in manifests.read_manifest(land.s3, land.config.bucket, batch).objects
    ]
    assert all(erasure_layers._is_of(whole, {key}, set()) for key in raw)
    assert not erasure_layers._is_of(
        whole, {"raw/feed=product_events/dt=2026-01-01/hour=00/landed-other"}, set(landed.batches)
    )


def test_of_a_zip_with_a_file_that_cannot_be_read_the_others_land_and_the_report_says_what_to_run(land):
    asks = as_csv([["1/2/2026", "P1", "1", "2.50"]])
    body = as_zip({"b.csv": asks, "a.csv": as_csv(ROWS), "readme.txt": b"hello"})
    landed = land(body, "landing/product_events/all.zip")
    assert ([part.name for part in landed.parts], landed.unread) == (["a.csv"], 2)
    assert "hello" not in json.dumps(asdict(landed))  # what passes from task to task shows nothing of the file
    before = report(land, landed)
    assert (before["state"], len(before["members"])) == ("unfinished", 2)
    for _ in range(2):  # a task that dies is done again
        history.report_loaded(land.s3, LandedGroup([landed], []), clean(land, landed), land.config)
        found = report(land, landed)
        assert (found["state"], found["clean"]) == ("partly_loaded", 10)
        assert found["error"].startswith("2 of 3 files of the zip cannot be read; the others are loaded.")
        assert [member["member"] for member in found["members"]] == ["b.csv", "readme.txt", "a.csv"]
        assert "line 1 has no column" in found["members"][1]["error"]
        assert '--conf \'{"key": "landing/product_events/all.zip", "date_order": "dmy"}\'' in found["run_again"][1]
    assert not history.report_unfinished(land.s3, LandedFile(landed.key, landed.etag), "r", land.config.bucket)


def test_a_run_that_died_after_a_zip_was_read_in_part_is_settled(land):
    landed = land(as_zip({"a.csv": as_csv(ROWS), "readme.txt": b"hello"}), "landing/product_events/all.zip")
    assert history.report_unfinished(land.s3, LandedFile(landed.key, landed.etag), "run-7", land.config.bucket)
    found = report(land, landed)
    assert (found["state"], found["members"][0]["member"]) == ("failed", "readme.txt")
    assert "run run-7 of load_history ended without a report" in found["error"]


def test_a_zip_of_which_no_file_can_be_read_fails(land):
    body = as_zip({"a.txt": b"hello", "b.txt": b"hello"})
    with pytest.raises(PermanentError, match="all.zip cannot be loaded"):
        land(body, "landing/product_events/all.zip")
    found = report(land, LandedFile("landing/product_events/all.zip", hashlib.md5(body).hexdigest()))
    assert found["error"] == "landing/product_events/all.zip: 2 of 2 files of the zip cannot be read"
    assert "Contents" not in land.s3.list_objects_v2(Bucket=land.config.bucket, Prefix="manifests/")


@pytest.mark.parametrize(
    ("end", "encoding", "may_be_cut"),
    [(b"\n", "utf-8", False), (b"", "utf-8", True), (b"\n", "utf-16", False), (b"", "utf-16", True)],
)
def test_a_text_without_a_line_break_at_its_end_may_be_cut(land, end, encoding, may_be_cut):
    text = as_csv(ROWS).decode().rstrip() + end.decode()
    for body in (text.encode(encoding), gzip.compress(text.encode(encoding), mtime=0)):
        assert [part.may_be_cut for part in land(body).parts] == [may_be_cut]


@pytest.mark.parametrize(
    ("body", "flags", "says", "conf"),
    [
        pytest.param(
            as_csv([["1/2/2026", "P1", "1", "2.5"]]),
            {},
            'Pass date_order: "mdy" or date_order: "dmy"',
            {"date_order": "mdy"},
            id="dates",
        ),
        pytest.param(
            as_csv([[*ROWS[0][:3], "2,5"]]),
            {},
            "Pass decimal_comma: true or decimal_comma: false",
            {"decimal_comma": True},
            id="commas",
        ),
        pytest.param(
            as_csv(ROWS, header=["event_time", "Artikel", "Menge", "price"]),
            {"columns": {"quantity": "Menge"}},
            'Say it with columns: {"product_id": "HEADER OF THE FILE"} or delimiter',
            {"columns": {"quantity": "Menge", "product_id": "HEADER OF THE FILE"}},
            id="columns",
        ),
        pytest.param(
            as_csv(ROWS) + "é,P,1,1\n".encode("cp1252"),
            {},
            'Pass encoding: "cp1252" or',
            {"encoding": "cp1252"},
            id="encoding",
        ),
    ],
)
def test_the_report_of_a_question_names_the_parameters_of_the_dag(land, body, flags, says, conf):
    with pytest.raises(PermanentError):
        land(body, flags=Flags(**flags))
    found = report(land, LandedFile("landing/product_events/a file.csv", hashlib.md5(body).hexdigest()))
    assert says in found["error"]
    assert "--" not in found["error"]
    words = shlex.split(found["run_again"][0])
    assert words[:-1] == ["airflow", "dags", "trigger", "load_history", "--conf"]
    assert json.loads(words[-1]) == {"key": "landing/product_events/a file.csv", **conf}


def test_a_file_that_is_replaced_after_it_was_found_is_left_to_the_run_of_the_new_one(land, contracts):
    files = [("landing/product_events/a.csv", "0" * 32), ("landing/product_events/b.csv", None)]
    for key, _ in files:
        land.s3.put_object(Bucket=land.config.bucket, Key=key, Body=small(1))
    group = history.land_files(land.s3, files, contracts, Flags(), land.config)
    assert ([file.key for file in group.files], group.failed, group.replaced) == ([files[1][0]], [], [files[0][0]])
    assert report(land, LandedFile(*files[0]))["state"] == "replaced"
    assert history.land_files(land.s3, files[:1], contracts, Flags(), land.config).batches == []
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

    group = history.land_files(Replacing(), [(key, etag if etag_is_given else None)], contracts, Flags(), land.config)
    if etag_is_given:
        assert (group.files, group.replaced) == ([], [key])
    else:  # a run by hand is for the file as it is
        [landed] = group.files
        assert (landed.etag, landed.rows) == (hashlib.md5(new).hexdigest(), 4)


def test_what_a_run_keeps_of_landed_files_survives_its_way_through_json(land):
    landed = land(as_zip({"a.csv": as_csv(ROWS), "b": as_json_lines(ROWS)}), "landing/product_events/all.zip")
    assert history.Landed.of(json.loads(json.dumps(asdict(landed)))) == landed


def test_long_records_make_small_raw_objects(land, monkeypatch):
    monkeypatch.setattr(history, "OBJECT_BYTES", 500)
    landed = land(as_json_lines([[*row[:1], row[1] + "x" * 600, *row[2:]] for row in ROWS]))
    keys = [o.key for b in landed.batches for o in manifests.read_manifest(land.s3, land.config.bucket, b).objects]
    assert len(keys) == 4  # of three lines each: a block that is read is not divided
    assert len(events(land, landed)) == 10
