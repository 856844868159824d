"""The bytes and sizes of raw objects."""

import gzip
import hashlib
import re
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from ecommerce_elt.batches import manifests
from ecommerce_elt.landing import conversion, raw_objects
from ecommerce_elt.readers.flags import Flags

from tests.support.file_formats import HEADER, as_csv, as_lines, as_records
from tests.support.landed_files import ROWS, events
from tests.support.spreadsheets import as_xlsx

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
    landed = conversion.land_file(s3, "landing/online_retail/all.csv.gz", contracts, Flags(identity="file"), own)
    objects = [raw for each in landed.batches for raw in manifests.read_manifest(s3, bucket, each).objects]
    assert len(objects) == 22  # 25,000 lines each
    lines = b"".join(gzip.decompress(s3.get_object(Bucket=bucket, Key=raw.key)["Body"].read()) for raw in objects)
    assert hashlib.sha256(SENT_AT.sub(b"T", lines)).hexdigest() == (
        "b36cfd6d1e0adf259b8bea587a954810bc7994e1576322c506c7fa0b52f2802c"
    )
    assert sum(raw.size for raw in objects) < 33_000_000  # zlib, level 1, makes 30,005,884


def test_long_records_make_small_raw_objects(land, monkeypatch):
    monkeypatch.setattr(raw_objects, "OBJECT_BYTES", 500)
    landed = land(as_lines(as_records([[*row[:1], row[1] + "x" * 600, *row[2:]] for row in ROWS])))
    keys = [o.key for b in landed.batches for o in manifests.read_manifest(land.s3, land.config.bucket, b).objects]
    assert len(keys) == 4  # of three lines each: a block that is read is not divided
    assert len(events(land, landed)) == 10


@pytest.mark.parametrize(
    ("end", "encoding", "may_be_cut"),
    [(b"\n", "utf-8", False), (b"", "utf-8", True), (b"\n", "utf-16", False), (b"", "utf-16", True)],
)
def test_a_text_without_a_line_break_at_its_end_may_be_cut(land, end, encoding, may_be_cut):
    text = as_csv(ROWS).decode().rstrip() + end.decode()
    for body in (text.encode(encoding), gzip.compress(text.encode(encoding), mtime=0)):
        assert [part.may_be_cut for part in land(body).parts] == [may_be_cut]
