"""One table in every format, under names that say nothing or something else: what a file is, its first bytes say."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal

import openpyxl
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.events import Envelopes
from ecommerce_elt.landing.blocks import BLOCK_ROWS
from ecommerce_elt.landing.flags import Flags
from ecommerce_elt.landing.identity import FileIdentity
from ecommerce_elt.landing.readings import MembersError, read_files
from ecommerce_elt.landing.tabular import TabularFile

from tests.support.spreadsheets import as_ods, as_xls, as_xlsb, as_xlsx, as_zip

HEADER = ["event_time", "product_id", "quantity", "price"]
ROWS = [["2026-01-01T08:26:00", "P1", 6, 2.55], ["2026-01-02T09:00:00", "P2", -1, 1234.5]]
RECORDS = [dict(zip(HEADER, row, strict=True)) for row in ROWS]
TEXTS = [["2026-01-01T08:26:00", "P1", "6", "2.55"], ["2026-01-02T09:00:00", "P2", "-1", "1234.5"]]


def as_csv(rows=TEXTS, header=HEADER):
    return "\n".join(",".join(row) for row in [header, *rows]).encode() + b"\n"


def as_lines(records=RECORDS):
    return "\n".join(map(json.dumps, records)).encode()


def as_parquet(table):
    out = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pylist(table), out)
    return out.getvalue()


FORMATS = {
    "csv": as_csv(),
    "json_lines": as_lines(),
    "json_array": json.dumps(RECORDS).encode(),
    "json_array_over_lines": json.dumps(RECORDS, indent=2).encode(),
    "json_objects_over_lines": "\n".join(json.dumps(record, indent=1) for record in RECORDS).encode(),
    "parquet": as_parquet(RECORDS),
    "xlsx": as_xlsx([HEADER, *ROWS]),
    "xls": as_xls([HEADER, *ROWS]),
    "xlsb": as_xlsb([HEADER, *ROWS]),
    "ods": as_ods([HEADER, *ROWS]),
}
PACKINGS = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


@pytest.fixture
def read(tmp_path, contracts):
    def read(body, name="file.dat", feed="product_events", **flags):
        path = tmp_path / name
        path.write_bytes(body)
        source = TabularFile(path, contracts[feed], Flags(**flags))
        survey = source.survey()
        return survey, list(source.rows(survey)), source

    return read


def events(source, survey):
    envelopes = Envelopes(survey.keys, feed="product_events", version=2)
    with FileIdentity(source, survey) as identity:
        return [
            json.loads(line)
            for block, ids in identity.blocks(BLOCK_ROWS)
            for line in source.encoded(block, ids, envelopes, "now").splitlines()
        ]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["file", "file.csv"])
def test_every_format_gives_the_same_events_whatever_it_is_called(read, kind, packing, name):
    survey, rows, source = read(PACKINGS[packing](FORMATS[kind]), name)
    assert [[str(row.data[key]) for key in HEADER[:3]] for row in rows] == [row[:3] for row in TEXTS]
    assert [row.event_time for row in rows] == [
        datetime(2026, 1, 1, 8, 26, tzinfo=UTC),
        datetime(2026, 1, 2, 9, tzinfo=UTC),
    ]
    assert [float(event["data"]["price"]) for event in events(source, survey)] == [2.55, 1234.5]
    assert survey.data_set == read(FORMATS[kind])[0].data_set  # packed or not, it is the same data
    assert survey.kind == kind.partition("_")[0]


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("csv", [2, 3]),
        ("json_lines", [1, 2]),
        ("json_array", [1, 2]),
        ("json_array_over_lines", [1, 2]),
        ("json_objects_over_lines", [1, 7]),
        ("parquet", [1, 2]),
        ("xlsx", [2, 3]),
        ("xls", [2, 3]),
    ],
)
def test_a_record_has_its_place_in_the_file(read, kind, lines):
    assert [row.line for row in read(FORMATS[kind])[1]] == lines


def test_one_json_object_is_one_record(read):
    survey, [row], _ = read(json.dumps(RECORDS[0], indent=1).encode())
    assert (survey.rows, row.line, row.data["product_id"]) == (1, 1, "P1")


def test_keys_of_json_are_matched_like_headers_and_values_stay_json(read):
    text = (
        '{"timestamp": "2026-01-01", "SKU": 7, "Qty": 6.0, "Unit Price": 2.5499999999999998, "tags": ["a", {"b": null}],'
        ' "big": 123456789012345678901234567890, "gone": NaN}\n\n{"SKU": "P2", "qty": null}\n'
    )
    survey, rows, source = read(text.encode("utf-8-sig"))
    assert [row.line for row in rows] == [1, 3]
    assert list(rows[1].data) == ["product_id", "quantity"]  # a key that is missing stays so
    [first, _] = source.encoded(
        next(source.blocks(survey)), [b"1", b"2"], Envelopes(survey.keys, feed="f", version=1), "now"
    ).splitlines()
    assert first.endswith(
        b'"data":{"event_time":"2026-01-01","product_id":7,"quantity":6.0,"price":2.5499999999999998,"tags":["a",{"b":null}],'
        b'"big":123456789012345678901234567890,"gone":"NaN"}}'
    )


def test_json_over_the_borders_of_pieces_and_in_other_encodings(read):
    records = [{**RECORDS[0], "note": 'é漢 \\ " { [ \n' * (i % 500)} for i in range(200)]
    for body in (
        as_lines(records),
        json.dumps(records).encode(),
        json.dumps(records, ensure_ascii=False).encode("utf-16"),
    ):
        _, rows, _ = read(body)
        assert [row.data["note"] for row in rows] == [record["note"] for record in records]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(as_lines() + b'\n{"event_time": "2026', r"line 3: no JSON .*Is the file torn", id="torn"),
        pytest.param(
            b'{"event_time": 1}\n{"event_time": "a" "SECRET"}\n' + as_lines(),
            "line 2: no JSON at its character 20",
            id="broken",
        ),
        pytest.param(json.dumps(RECORDS)[:-1].encode(), "the array does not end", id="open_array"),
        pytest.param(json.dumps([RECORDS[0], 5]).encode(), "record 2: is no object of keys and values", id="no_object"),
        pytest.param(json.dumps(RECORDS).encode() + as_lines(), "something follows the array", id="more"),
        pytest.param(b'{"a": 1}', "no record has a key has no column event_time", id="other_keys"),
        pytest.param(
            b'{"event_time": "2026-01-01", "timestamp": "2026-01-01"}',
            "two columns are read as event_time",
            id="doubled",
        ),
        pytest.param(as_lines() + b"\xe9", "line 2 is not UTF-8", id="encoding"),
        pytest.param(b"[" * 100_000, "is nested too deeply|is no object", id="deep"),
        pytest.param(b'{"a":' * 100_000, "is nested too deeply", id="deep_objects"),
        pytest.param(as_parquet(RECORDS)[:-9], "cannot be read as Parquet", id="cut_parquet"),
        pytest.param(as_parquet([{"a": 1}]), "no column event_time", id="parquet_of_others"),
        pytest.param(b"<html><table><tr><td>1</td></tr></table></html>", "is HTML or XML", id="html"),
        pytest.param(gzip.compress(gzip.compress(as_csv())), "is packed twice", id="twice"),
        pytest.param(FORMATS["xlsx"][:999], "cannot be read as a zip", id="cut_zip"),
        pytest.param(as_ods([]), "no sheet that is looked at has a row", id="empty_sheet"),
    ],
)
def test_broken_files_are_refused(read, body, says):
    with pytest.raises(PermanentError, match=says) as raised:
        read(body)
    assert "SECRET" not in str(raised.value)


def test_values_of_parquet_are_what_the_source_would_write(read):
    table = pa.table(
        {
            "event_time": pa.array([datetime(2026, 1, 1, 8, 26, 0, 5), None], pa.timestamp("ns", "UTC")),
            "product_id": pa.array(["P1", "P1"]).dictionary_encode(),
            "quantity": pa.array([6.0, float("nan")]),
            "price": pa.array([Decimal("1234567890.55"), Decimal("-0.10")]),
            "day": pa.array([date(2026, 1, 2), None]),
            "small": pa.array([2.55, None], pa.float32()),
            "bytes": pa.array([b"abc", None]),
            "tags": pa.array([["a"], []]),
            "is_new": pa.array([True, None]),
        }
    )
    _, rows, _ = read(as_parquet(table))
    assert rows[0].data == {
        "event_time": "2026-01-01T08:26:00.000005+00:00",
        "product_id": "P1",
        "quantity": 6.0,
        "price": "1234567890.55",
        "day": "2026-01-02",
        "small": 2.55,
        "bytes": "abc",
        "tags": ["a"],
        "is_new": True,
    }
    assert rows[1].data == {"product_id": "P1", "price": "-0.10", "tags": []}
    assert rows[0].event_time == datetime(2026, 1, 1, 8, 26, 0, 5, tzinfo=UTC)


def test_a_frame_of_pandas_with_an_index_and_blank_rows(read):
    frame = pandas.DataFrame(RECORDS).assign(event_time=pandas.to_datetime([row[0] for row in ROWS]))
    frame = pandas.concat([frame, pandas.DataFrame([[None] * 4], columns=HEADER)], ignore_index=True)
    out = io.BytesIO()
    frame.to_parquet(out)
    survey, rows, _ = read(out.getvalue())
    assert [row.event_time for row in rows] == [
        datetime(2026, 1, 1, 8, 26, tzinfo=UTC),
        datetime(2026, 1, 2, 9, tzinfo=UTC),
    ]
    assert (survey.rows, survey.left_out["blank"].lines) == (2, [3])


def test_decimal_commas_and_dates_of_json_texts_are_decided_by_the_file(read):
    records = [
        {"InvoiceNo": "1", "StockCode": "a", "Quantity": 1, "InvoiceDate": day, "UnitPrice": price, "Country": "DE"}
        for day, price in (("13.05.2011 08:26", "1.234,50"), ("01.02.2011", "2,55"))
    ]
    survey, rows, _ = read(as_lines(records), feed="online_retail")
    assert [row.data["UnitPrice"] for row in rows] == ["1234.50", "2.55"]
    assert (survey.date_order, rows[1].event_time) == ("dmy", datetime(2011, 2, 1, tzinfo=UTC))


# -- workbooks --------------------------------------------------------------------------------------------------------


def test_hidden_sheets_are_read_only_by_name(read):
    book = openpyxl.load_workbook(io.BytesIO(as_xlsx([HEADER, *ROWS])))
    hidden = book.create_sheet("Secret")
    for row in [HEADER, *ROWS, *ROWS]:
        hidden.append(row)
    hidden.sheet_state = "hidden"
    out = io.BytesIO()
    book.save(out)
    assert (read(out.getvalue())[0].rows, read(out.getvalue(), sheet="Secret")[0].rows) == (2, 4)
    book[book.sheetnames[0]].delete_rows(1, 9)
    book[book.sheetnames[0]].append(["notes"])
    out = io.BytesIO()
    book.save(out)
    with pytest.raises(PermanentError, match=r"1 hidden sheets were not read.*--sheet"):
        read(out.getvalue())


def test_formulas_without_a_value_are_missing_and_counted(read):
    body = as_xlsx([HEADER, [*ROWS[0][:3], "=1+1"], [*ROWS[1][:2], "=SUM(1,2)", "=2*3"], ROWS[0]])
    survey, rows, _ = read(body)
    assert (survey.formulas_without_value, [row.data["price"] for row in rows]) == (3, ["", "", "2.55"])
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"].replace(
        b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2</v>"
    )
    survey, rows, _ = read(as_zip(parts))
    assert (survey.formulas_without_value, rows[0].data["price"]) == (2, "2")


def test_a_workbook_with_a_password_says_so(read):
    # What Excel writes for one: an OLE file with these two streams. A library that encrypts is not needed to have them.
    with pytest.raises(PermanentError, match="cannot be read as a workbook"):
        read(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000, "secret.xlsx")


# -- zip --------------------------------------------------------------------------------------------------------------


def test_each_file_of_a_zip_is_a_file_of_its_own(tmp_path, contracts, read):
    files = {
        "2026/a.csv": FORMATS["csv"],
        "b": FORMATS["xlsx"],
        "c.gz": gzip.compress(FORMATS["json_lines"]),
        "d.pq": FORMATS["parquet"],
    }
    hidden = {"__MACOSX/2026/._a.csv": b"x", "2026/.DS_Store": b"x"}
    path = tmp_path / "all.csv"
    path.write_bytes(as_zip({**files, **hidden}))
    readings, skipped, _ = read_files(path, contracts["product_events"], Flags(), tmp_path)
    assert [reading.name for reading in readings] == list(files)
    assert skipped == list(hidden)
    assert [len(list(reading.file.rows(reading.survey))) for reading in readings] == [2] * 4
    alone = [read(FORMATS[kind])[0].data_set for kind in ("csv", "xlsx", "json_lines", "parquet")]
    assert [reading.survey.data_set for reading in readings] == alone


def test_a_file_of_a_zip_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path, contracts):
    bad = {"readme.txt": b"hello", "b.zip": as_zip({"c.csv": FORMATS["csv"]})}
    path = tmp_path / "all.zip"
    path.write_bytes(as_zip({"a.csv": FORMATS["csv"], **bad}))
    readings, _, unread = read_files(path, contracts["product_events"], Flags(), tmp_path)
    assert [reading.name for reading in readings] == ["a.csv"]
    assert list(unread) == list(bad)
    with pytest.raises(MembersError, match="2 of 3 files of the zip cannot be read"):
        read_files(path, contracts["product_events"], Flags(), tmp_path).whole(path)
    assert f"{path}, readme.txt: line 1 has no column" in str(unread["readme.txt"])
    assert f"{path}, b.zip: is a zip within a zip" in str(unread["b.zip"])
    path.write_bytes(as_zip(bad))
    with pytest.raises(MembersError, match="2 of 2 files of the zip cannot be read: .*readme.txt: line 1"):
        read_files(path, contracts["product_events"], Flags(), tmp_path)


@pytest.mark.parametrize(
    ("files", "flags", "says"),
    [
        ({}, {}, "the zip has no file"),
        ({".hidden": b"x"}, {}, "the zip has no file"),
        (
            {"a.csv": FORMATS["csv"], "b.csv": FORMATS["csv"]},
            {"data_set": "d"},
            "names the data of one file, and the zip has 2",
        ),
    ],
)
def test_zips_that_are_refused(tmp_path, contracts, files, flags, says):
    path = tmp_path / "all.zip"
    path.write_bytes(as_zip(files))
    with pytest.raises(PermanentError, match=says):
        read_files(path, contracts["product_events"], Flags(**flags), tmp_path)


def test_names_of_a_zip_of_people_are_not_shown(tmp_path, contracts):
    path = tmp_path / "all.zip"
    path.write_bytes(as_zip({"Ada Lovelace.csv": b"hello", "__MACOSX/Ada": b"x"}))
    with pytest.raises(PermanentError, match="file 1: line 1 has no column") as raised:
        read_files(path, contracts["purchases"], Flags(), tmp_path)
    assert "Ada" not in str(raised.value)


# -- replaced while it is read ----------------------------------------------------------------------------------------


def test_a_file_that_is_replaced_while_it_is_surveyed_is_read_again(tmp_path, contracts, monkeypatch):
    path = tmp_path / "shop"
    path.write_bytes(FORMATS["csv"])
    other, done = tmp_path / "other", []
    other.write_bytes(FORMATS["json_array"])
    survey = TabularFile._survey

    def replaced(source):
        found = survey(source)
        if not done:
            other.replace(path)
        done.append(found.kind)
        return found

    monkeypatch.setattr(TabularFile, "_survey", replaced)
    source = TabularFile(path, contracts["product_events"], Flags())
    assert (source.survey().kind, done) == ("json", ["csv", "json"])


def test_a_file_that_is_replaced_after_its_survey_is_not_read_on(tmp_path, contracts):
    path = tmp_path / "shop.csv"
    path.write_bytes(as_csv(TEXTS * 1000))
    source = TabularFile(path, contracts["product_events"], Flags())
    blocks = source.blocks(source.survey())
    next(blocks)
    path.write_bytes(as_csv(TEXTS[:1] * 2000))
    with pytest.raises(PermanentError, match="was replaced while it was read; begin again"):
        list(blocks)


# -- ids by values ----------------------------------------------------------------------------------------------------


def test_a_row_has_the_same_id_in_every_format(read):
    header = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
    row = ["536365", "22423", "HEART", 6, "2010-12-01T08:26:00", 2.55, 17850, "France"]
    bodies = [
        as_csv([[str(value) for value in row]], header),
        as_lines([dict(zip(header, row, strict=True))]),
        as_parquet([dict(zip(header, row, strict=True))]),
        as_xlsx([header, [datetime(2010, 12, 1, 8, 26) if value == row[4] else value for value in row]]),
        as_ods([header, row]),
    ]
    found = set()
    for body in bodies:
        survey, _, source = read(body, feed="online_retail")
        with FileIdentity(source, survey) as identity:
            found.update(event_id for _, ids in identity.blocks(BLOCK_ROWS) for event_id in ids)
    assert len(found) == 1
