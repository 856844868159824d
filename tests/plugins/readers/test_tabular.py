"""Files as shops have them: one table in every dialect and format, whatever the file is called."""

import bz2
import gzip
import json
import lzma
import tracemalloc
from datetime import UTC, datetime

import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.events import Envelopes
from ecommerce_elt.landing.identity import FileIdentity
from ecommerce_elt.readers.blocks import BLOCK_ROWS
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile

from tests.support.file_formats import FORMATS, HEADER, RECORDS, TEXTS, as_csv, as_lines, as_parquet
from tests.support.online_retail import INVOICE_HEADER, ONE, TWO, check, csv_text, read_file
from tests.support.spreadsheets import as_ods

PACKINGS = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


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


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        pytest.param(csv_text(), "utf-8", id="plain"),
        pytest.param(csv_text(), "utf-8-sig", id="byte_order_mark"),
        pytest.param(csv_text(), "utf-16", id="utf_16"),
        pytest.param(csv_text(";"), "utf-8", id="semicolon"),
        pytest.param(csv_text("\t"), "utf-8", id="tab"),
        pytest.param(csv_text("|"), "utf-8", id="pipe"),
        pytest.param(csv_text(end="\r\n"), "utf-8", id="windows_line_ends"),
        pytest.param(csv_text(end="\r"), "utf-8", id="old_mac_line_ends"),
        pytest.param(
            csv_text(
                header=[
                    "Invoice",
                    "Stock Code",
                    "description",
                    "QTY",
                    "Invoice Date",
                    "Price",
                    "Customer ID",
                    "COUNTRY",
                ]
            ),
            "utf-8",
            id="other_headers",
        ),
        pytest.param(csv_text().rstrip("\n"), "utf-8", id="no_last_line_end"),
    ],
)
def test_spellings_of_csv(tmp_path, contracts, text, encoding):
    path = tmp_path / "shop.csv"
    path.write_bytes(text.encode(encoding))
    survey, rows = read_file(path, contracts)
    check(rows)
    assert (survey.rows, survey.date_order, [r.line for r in rows]) == (2, "mdy", [2, 3])


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        pytest.param("a.csv", b"", "the file is empty", id="empty"),
        pytest.param("a.csv", b"\xff\xfe\xfd", "line 1: not utf-16", id="broken_utf_16"),
        pytest.param(
            "a.csv",
            csv_text().encode("cp1252"),
            r"line 3 is not UTF-8\. Pass --encoding .*cp1252: 'C536366,22633,HAND WARMER £",
            id="not_utf8",
        ),
        pytest.param(
            "a.csv", b"a,b\n1,2\n", "0 of its 2 fields are names that the feed knows", id="a_row_of_data_is_not_shown"
        ),
        pytest.param(
            "a.csv", b"Ada,12 Road,Country\n1,2,3\n", "1 of its 3 fields are names", id="a_value_like_a_column"
        ),
        pytest.param("a.csv", b"InvoiceNo,b\n1,2\n", r"the header is \['InvoiceNo', 'b'\]", id="a_header_is_shown"),
        pytest.param("a.csv", b"a,b\n1,2\n", "has no column", id="other_columns"),
        pytest.param(
            "a.csv",
            csv_text(header=["Price", *INVOICE_HEADER[1:5], "UnitPrice", *INVOICE_HEADER[6:]]).encode(),
            "no column InvoiceNo",
            id="required_column_missing",
        ),
        pytest.param(
            "a.csv",
            csv_text(header=[*INVOICE_HEADER[:6], "InvoiceNo", "Country"]).encode(),
            "two columns are read as InvoiceNo",
            id="column_twice",
        ),
        pytest.param("a.csv", (csv_text() + '"open,1\n').encode(), "line 4: .*Is a quote open", id="open_quote"),
        pytest.param(
            "a.csv",
            csv_text(rows=[[*ONE[:4], "1/2/2010", *ONE[5:]]]).encode(),
            "--date-order mdy or --date-order dmy",
            id="ambiguous_dates",
        ),
        pytest.param(
            "a.csv",
            csv_text(";", rows=[[*TWO[:5], "1,234", *TWO[6:]]]).encode(),
            r"column UnitPrice: the comma of 1 numbers may be .*, first line 2 \('1,234'\).*--decimal-comma or --decimal-point",
            id="open_comma",
        ),
        pytest.param(
            "a.csv",
            csv_text(";", rows=[[*TWO[:5], "1.234,5", *TWO[6:]], [*TWO[:5], "2.55", *TWO[6:]]]).encode(),
            r"1 numbers have a decimal comma, first line 2 \('1.234,5'\), and 1 a decimal point, first line 3",
            id="both_marks",
        ),
        pytest.param("a.csv.gz", gzip.compress(csv_text().encode())[:-20], "cannot be unpacked", id="truncated_gzip"),
        pytest.param("a.xlsx", b"PK no workbook", "cannot be read as a workbook", id="broken_workbook"),
        pytest.param("a.parquet", b"PAR1", "cannot be read as Parquet", id="parquet"),
    ],
)
def test_broken_files_are_refused_before_anything_is_sent(tmp_path, contracts, name, body, says):
    path = tmp_path / name
    path.write_bytes(body)
    with pytest.raises(PermanentError, match=says) as raised:
        read_file(path, contracts)
    assert str(path) in str(raised.value)


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
def test_broken_files_of_every_format_are_refused(read, body, says):
    with pytest.raises(PermanentError, match=says) as raised:
        read(body)
    assert "SECRET" not in str(raised.value)


def test_a_missing_file_is_refused(tmp_path, contracts):
    with pytest.raises(PermanentError, match="no such file"):
        read_file(tmp_path / "none.csv", contracts)


@pytest.mark.parametrize(
    ("body", "flags"),
    [
        pytest.param(csv_text().encode("cp1252"), {"encoding": "cp1252"}, id="encoding"),
        pytest.param(csv_text("~").encode(), {"delimiter": "~"}, id="delimiter"),
        pytest.param(
            csv_text(header=["Beleg", *INVOICE_HEADER[1:]]).encode(), {"columns": {"InvoiceNo": "beleg"}}, id="column"
        ),
        pytest.param(
            csv_text(";", rows=[[*r[:5], r[5].replace(".", ","), *r[6:]] for r in (ONE, TWO)]).encode(),
            {"decimal_comma": True},
            id="decimal_comma",
        ),
    ],
)
def test_flags_answer_what_the_errors_ask(tmp_path, contracts, body, flags):
    path = tmp_path / "shop.csv"
    path.write_bytes(body)
    check(read_file(path, contracts, **flags)[1])


def test_uneven_and_blank_lines_are_counted_and_kept(tmp_path, contracts):
    path = tmp_path / "shop.csv"
    path.write_text(csv_text(rows=[ONE, [*TWO, "one too many"], [""], TWO[:3], TWO]))
    survey, rows = read_file(path, contracts)
    assert (survey.rows, survey.blank_lines, survey.uneven_rows) == (4, 1, 2)
    assert [r.line for r in rows] == [2, 3, 5, 6]
    assert rows[1].data == {"unassigned": [*TWO, "one too many"]}
    assert rows[2].data == dict(zip(INVOICE_HEADER[:3], TWO[:3], strict=True))


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


def test_memory_is_flat(tmp_path, contracts, monkeypatch):
    monkeypatch.setattr("ecommerce_elt.readers.columns.CHUNK_CHARS", 1 << 20)  # less than the smaller file has

    def peak(rows):
        path = tmp_path / f"{rows}.csv"
        with path.open("w") as file:
            file.write(csv_text(rows=[TWO]))
            file.writelines(
                ",".join([*ONE[:4], f"12/{1 + i % 28}/2010 {i % 24}:{i % 60:02d}", *ONE[5:]]) + "\n"
                for i in range(rows)
            )
        source = TabularFile(path, contracts["online_retail"], Flags())
        tracemalloc.start()
        for _ in source.rows(source.survey()):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    small, large = peak(20_000), peak(200_000)
    assert large < small * 1.2 + 1_000_000


def test_the_real_file(contracts, online_retail):
    survey = TabularFile(online_retail, contracts["online_retail"], Flags()).survey()
    assert (survey.rows, survey.date_order, survey.delimiter, survey.blank_lines, survey.uneven_rows) == (
        541909,
        "mdy",
        ",",
        0,
        0,
    )
    assert survey.data_set == "a2f79bbdd4463df6db8a3f5a50b9c980ae8f645a370bf5e2c0d6097f9e817b05"
