"""The report beside a landed file names lines, counts and what to run."""

import gzip
import hashlib
import io
import json
import shlex
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ecommerce_elt.batches.clean_files import COUNTS
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.events import event_ids
from ecommerce_elt.landing import reports
from ecommerce_elt.landing.files import LandedFile
from ecommerce_elt.landing.landed import LandedGroup
from ecommerce_elt.readers.flags import Flags

from tests.support.file_formats import as_csv
from tests.support.landed_files import INVOICE_LINES, ROWS, clean, report, small
from tests.support.online_retail import INVOICE_HEADER
from tests.support.spreadsheets import as_zip


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


def test_rejected_records_are_reported_with_their_line_in_the_file(land):
    rows = [*ROWS[:3], ["2026-01-01", "two\nlines", "many", "2.50"], [], ["2026-01-01", "", "1", "2.50"], *ROWS[3:]]
    landed = land(as_csv(rows))
    [found] = reports.report_loaded(land.s3, LandedGroup([landed], []), clean(land, landed), land.config)
    assert {k: report(land, landed)[k] for k in found} == found
    assert (found["rows"], found["blank_lines"], found["clean"], found["quarantined"]) == (12, 1, 10, 2)
    # The first of them spans lines 5 and 6; line 7 is blank.
    assert [(r["line"], [x["column_name"] for x in r["reasons"]]) for r in found["rejected"]] == [
        (5, ["product_id", "quantity"]),
        (8, ["product_id"]),
    ]
    assert report(land, landed)["state"] == "loaded"


def test_rejected_rows_are_reported_with_their_line_where_their_values_make_the_ids(land):
    bad = ["536365", "85123A", "two\nlines", "many", "12/13/2010 8:26", "2.55", "17850", "France"]
    landed = land(
        as_csv([*INVOICE_LINES[:2], bad, [], bad, *INVOICE_LINES[2:5]], header=INVOICE_HEADER),
        "landing/online_retail/x.csv",
    )
    [found] = reports.report_loaded(land.s3, LandedGroup([landed], []), clean(land, landed), land.config)
    assert [(r["line"], r["reasons"][0]["column_name"]) for r in found["rejected"]] == [
        (4, "quantity"),
        (7, "quantity"),
    ]
    assert (found["identity"], found["repeated_rows"]) == (
        "invoice_no, stock_code, description, quantity, invoice_date, unit_price, customer_id, country",
        1,
    )


def test_a_batch_that_was_not_loaded_makes_the_report_a_failure(land):
    landed = land(as_csv(ROWS))
    [found] = reports.report_loaded(land.s3, LandedGroup([landed], []), {}, land.config)
    assert (found["state"], found["error"][:32]) == ("failed", "2 of 2 batches were not loaded: ")


def test_a_batch_that_was_not_loaded_fails_the_files_that_have_a_part_of_it_alone(land):
    group = land.all({f"landing/product_events/{name}.csv": small(i, 3) for i, name in enumerate("abc")})
    loaded = clean(land, group)
    del loaded[group.files[2].batches[0]]
    assert [r["state"] for r in reports.report_loaded(land.s3, group, loaded, land.config)] == [
        "loaded",
        "loaded",
        "failed",
    ]


def test_events_that_core_had_are_duplicates_of_their_own_file(land):
    group = land.all({"landing/product_events/a.csv": small(10), "landing/product_events/b.csv": small(20, 3)})
    [batch_id] = group.batches
    loaded = clean(land, group)
    identify = event_ids(group.files[1].parts[0].data_set)
    known = io.BytesIO()
    pq.write_table(pa.table({"event_id": [identify(2), identify(4)]}), known)  # as UNLOAD writes them for publish_batch
    land.s3.put_object(Bucket=land.config.bucket, Key=f"manifests/{batch_id}/known/0000", Body=known.getvalue())
    loaded[batch_id] |= {"clean": 3, "duplicates": 2}
    found = reports.report_loaded(land.s3, group, loaded, land.config)
    assert [[r[count] for count in COUNTS] for r in found] == [[2, 2, 0, 0], [3, 1, 0, 2]]


def test_a_run_that_left_no_report_gets_one_once(land):
    land.s3.put_object(Bucket=land.config.bucket, Key="landing/product_events/x.csv", Body=b"x")
    file = LandedFile("landing/product_events/x.csv", "c" * 32)
    assert reports.report_unfinished(land.s3, file, "run-1", land.config.bucket) is True
    assert reports.report_unfinished(land.s3, file, "run-1", land.config.bucket) is False


def test_of_a_zip_with_a_file_that_cannot_be_read_the_others_land_and_the_report_says_what_to_run(land):
    asks = as_csv([["1/2/2026", "P1", "1", "2.50"]])
    body = as_zip({"b.csv": asks, "a.csv": as_csv(ROWS), "readme.txt": b"hello"})
    landed = land(body, "landing/product_events/all.zip")
    assert ([part.name for part in landed.parts], landed.unread) == (["a.csv"], 2)
    assert "hello" not in json.dumps(asdict(landed))  # what passes from task to task shows nothing of the file
    before = report(land, landed)
    assert (before["state"], len(before["members"])) == ("unfinished", 2)
    for _ in range(2):  # a task that dies is done again
        reports.report_loaded(land.s3, LandedGroup([landed], []), clean(land, landed), land.config)
        found = report(land, landed)
        assert (found["state"], found["clean"]) == ("partly_loaded", 10)
        assert found["error"].startswith("2 of 3 files of the zip cannot be read; the others are loaded.")
        assert [member["member"] for member in found["members"]] == ["b.csv", "readme.txt", "a.csv"]
        assert "line 1 has no column" in found["members"][1]["error"]
        assert '--conf \'{"key": "landing/product_events/all.zip", "date_order": "dmy"}\'' in found["run_again"][1]
    assert not reports.report_unfinished(land.s3, LandedFile(landed.key, landed.etag), "r", land.config.bucket)


def test_a_run_that_died_after_a_zip_was_read_in_part_is_settled(land):
    landed = land(as_zip({"a.csv": as_csv(ROWS), "readme.txt": b"hello"}), "landing/product_events/all.zip")
    assert reports.report_unfinished(land.s3, LandedFile(landed.key, landed.etag), "run-7", land.config.bucket)
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
