"""Files as shops have them. Each case is the same two records, written in another way."""

import bz2
import contextlib
import csv
import gzip
import hashlib
import io
import itertools
import lzma
import struct
import tempfile
import tracemalloc
import zipfile
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import openpyxl
import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.landing import blocks as landing_blocks
from ecommerce_elt.landing.flags import Flags
from ecommerce_elt.landing.tabular import TabularFile
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import PROJECT
from tests.support.spreadsheets import as_sheets

HEADER = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
ONE = ["536365", "85123A", "WHITE HEART", "6", "12/1/2010 8:26", "2.55", "17850", "United Kingdom"]
TWO = ["C536366", "22633", "HAND WARMER £", "-1", "12/13/2010 9:00", "1.85", "", "EIRE"]


def csv_text(delimiter=",", end="\n", header=HEADER, rows=(ONE, TWO)):
    return end.join(delimiter.join(r) for r in [header, *rows]) + end


def read(path, contracts, feed="online_retail", **flags):
    source = TabularFile(path, contracts[feed], Flags(**flags))
    survey = source.survey()
    return survey, list(source.rows(survey))


def check(rows):
    assert [row.data for row in rows] == [dict(zip(HEADER, ONE, strict=True)), dict(zip(HEADER, TWO, strict=True))]
    assert [row.event_time for row in rows] == [
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        datetime(2010, 12, 13, 9, tzinfo=UTC),
    ]


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
    survey, rows = read(path, contracts)
    check(rows)
    assert (survey.rows, survey.date_order, [r.line for r in rows]) == (2, "mdy", [2, 3])


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_a_packed_copy_is_the_same_data(tmp_path, contracts, suffix, pack):
    plain, packed = tmp_path / "shop.csv", tmp_path / f"shop.csv{suffix}"
    plain.write_text(csv_text())
    packed.write_bytes(pack(csv_text().encode()))
    survey, rows = read(packed, contracts)
    check(rows)
    assert survey.data_set == read(plain, contracts)[0].data_set == hashlib.sha256(csv_text().encode()).hexdigest()


def workbook(path, sheets):
    path.write_bytes(as_sheets(sheets))


TYPED = [
    [536365, "85123A", "WHITE HEART", 6, datetime(2010, 12, 1, 8, 26), 2.55, 17850, "United Kingdom"],
    ["C536366", 22633, "HAND WARMER £", -1, datetime(2010, 12, 13, 9), 1.85, None, "EIRE"],
]


def test_a_workbook(tmp_path, contracts):
    path = tmp_path / "shop.xlsx"
    workbook(path, {"notes": [["read me"]], "2010": [HEADER, *TYPED]})
    survey, rows = read(path, contracts)
    assert survey.sheet == "2010"
    # Dates of a workbook are dates: they are written as ISO 8601, and nothing has to be detected.
    assert [{**r.data, "InvoiceDate": ""} for r in rows] == [
        dict(zip(HEADER, r, strict=True)) | {"InvoiceDate": ""} for r in (ONE, TWO)
    ]
    assert [r.event_time for r in rows] == [
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        datetime(2010, 12, 13, 9, tzinfo=UTC),
    ]


def test_a_workbook_with_two_sheets_that_fit_asks(tmp_path, contracts):
    path = tmp_path / "shop.xlsx"
    workbook(path, {"2010": [HEADER, *TYPED], "2011": [HEADER, *TYPED]})
    with pytest.raises(PermanentError, match=r"sheets \['2010', '2011'\] have .* --sheet"):
        read(path, contracts)
    one, two = (read(path, contracts, sheet=name)[0].data_set for name in ("2010", "2011"))
    assert one != two


def test_cells_of_a_workbook_as_texts(tmp_path, contracts):
    path = tmp_path / "shop.xlsx"
    cells = [
        ("007", "007"),
        (7, "7"),
        (7.0, "7"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (10**15, "1000000000000000"),
        (True, "true"),
        ("#N/A", "#N/A"),
        ("#DIV/0!", "#DIV/0!"),
        (datetime(2010, 12, 1), "2010-12-01T00:00:00"),
        (time(8, 26), "08:26:00"),
        (timedelta(hours=30), "1 day, 6:00:00"),
        (None, ""),
    ]
    body = [[*TYPED[0][:2], cell, *TYPED[0][3:]] for cell, _ in cells]
    workbook(path, {"S": [[*HEADER, "Note", None], *([*row, "n"] for row in body)]})
    book = openpyxl.load_workbook(path)
    book["S"].merge_cells("I1:J1")  # a header over two columns is the first one's
    book.save(path)
    _, rows = read(path, contracts)
    assert [row.data["Description"] for row in rows] == [text for _, text in cells]
    assert {tuple(row.data) for row in rows} == {(*HEADER, "Note")}


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/styles.xml"])
def test_a_damaged_workbook_is_refused_by_name(tmp_path, contracts, part):
    path = tmp_path / "shop.xlsx"
    workbook(path, {"S": [HEADER, *TYPED]})
    with zipfile.ZipFile(path) as packed:
        wrong = struct.pack("<I", packed.getinfo(part).CRC ^ 1)
        right = struct.pack("<I", packed.getinfo(part).CRC)
    path.write_bytes(path.read_bytes().replace(right, wrong))
    with pytest.raises(
        PermanentError,
        match=rf"shop\.xlsx: cannot be read as a workbook: Bad CRC-32 for file '{part}'.*Copy the file anew",
    ):
        read(path, contracts)


def test_a_workbook_that_is_cut_or_garbled_is_refused(tmp_path, contracts):
    path = tmp_path / "shop.XLSX"
    workbook(path, {"S": [HEADER, *TYPED]})
    body = path.read_bytes()
    read(path, contracts)
    harmless = []
    for at in range(0, len(body), 97):
        path.write_bytes(body[:at])
        with pytest.raises(PermanentError, match=r"shop\.XLSX: cannot be read as a workbook"):
            read(path, contracts)
        path.write_bytes(body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :])
        with contextlib.suppress(
            PermanentError
        ):  # a byte that nothing depends on, as a time in the directory, does no harm
            read(path, contracts)
            harmless.append(at)
    assert len(harmless) < len(body) / 97 / 2


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
            csv_text(header=["Price", *HEADER[1:5], "UnitPrice", *HEADER[6:]]).encode(),
            "no column InvoiceNo",
            id="required_column_missing",
        ),
        pytest.param(
            "a.csv",
            csv_text(header=[*HEADER[:6], "InvoiceNo", "Country"]).encode(),
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
        read(path, contracts)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_refused(tmp_path, contracts):
    with pytest.raises(PermanentError, match="no such file"):
        read(tmp_path / "none.csv", contracts)


@pytest.mark.parametrize(
    ("body", "flags"),
    [
        pytest.param(csv_text().encode("cp1252"), {"encoding": "cp1252"}, id="encoding"),
        pytest.param(csv_text("~").encode(), {"delimiter": "~"}, id="delimiter"),
        pytest.param(
            csv_text(header=["Beleg", *HEADER[1:]]).encode(), {"columns": {"InvoiceNo": "beleg"}}, id="column"
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
    check(read(path, contracts, **flags)[1])


@pytest.mark.parametrize(
    ("prices", "flag", "read_as"),
    [
        pytest.param(["1,234.50", "2.55", "1,234"], None, ["1234.50", "2.55", "1234"], id="points"),
        pytest.param(
            ["1,234,567", "1,234", "1.234"], None, ["1234567", "1234", "1.234"], id="points_by_two_thousands_marks"
        ),
        pytest.param(["1.234,50", "2,55", "1.234", "1,234"], None, ["1234.50", "2.55", "1234", "1.234"], id="commas"),
        pytest.param(["£1.234,50", "-£1,234", "5"], None, ["£1234.50", "-£1.234", "5"], id="commas_with_currency"),
        pytest.param(["1,234"], True, ["1.234"], id="comma_by_flag"),
        pytest.param(["1,234", "1.234"], False, ["1234", "1.234"], id="point_by_flag"),
        pytest.param(["1.234,50", "2.55"], True, ["1234.50", "2.55"], id="what_is_only_the_other_stays"),
        pytest.param(["1.234", "x,y", "2.55"], None, ["1.234", "x,y", "2.55"], id="no_numbers_with_commas"),
    ],
)
def test_a_column_decides_on_its_decimal_mark(tmp_path, contracts, prices, flag, read_as):
    path = tmp_path / "shop.csv"
    path.write_text(csv_text(";", rows=[[*TWO[:5], price, *TWO[6:]] for price in prices]))
    _, rows = read(path, contracts, decimal_comma=flag)
    assert [row.data["UnitPrice"] for row in rows] == read_as


def test_commas_of_a_contract_without_them_are_asked_about(tmp_path, contracts):
    path = tmp_path / "moves.csv"
    path.write_text("event_time,product_id,quantity,price\n2026-01-02,P1,1,'2,5'\n".replace("'", '"'))
    with pytest.raises(
        PermanentError, match=r"column price: 1 numbers have a comma, first line 2 \('2,5'\).*numbers: \[thousands"
    ):
        read(path, contracts, feed="product_events")


def test_uneven_and_blank_lines_are_counted_and_kept(tmp_path, contracts):
    path = tmp_path / "shop.csv"
    path.write_text(csv_text(rows=[ONE, [*TWO, "one too many"], [""], TWO[:3], TWO]))
    survey, rows = read(path, contracts)
    assert (survey.rows, survey.blank_lines, survey.uneven_rows) == (4, 1, 2)
    assert [r.line for r in rows] == [2, 3, 5, 6]
    assert rows[1].data == {"unassigned": [*TWO, "one too many"]}
    assert rows[2].data == dict(zip(HEADER[:3], TWO[:3], strict=True))


def test_quoted_line_breaks_keep_the_line_numbers(tmp_path, contracts):
    path = tmp_path / "shop.csv"
    path.write_text(csv_text(rows=[[*ONE[:2], '"two\nlines"', *ONE[3:]], TWO]))
    _, rows = read(path, contracts)
    assert [(r.line, r.data["Description"]) for r in rows] == [(2, "two\nlines"), (4, "HAND WARMER £")]


@given(
    st.lists(st.lists(st.text("a,\"'\r\n \x7f\x85\u2028", max_size=5), min_size=3, max_size=3), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_each_record_has_the_line_on_which_it_begins(rows, end):
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["event_time", "product_id", "quantity", "price"])
    for row in rows:
        if row[0] == "a":
            out.write(end)
        writer.writerow([*row, "1"])
    expected, line, reader = [], 1, csv.reader(io.StringIO(out.getvalue(), newline=""), strict=True)
    for values in reader:
        if line > 1 and any(values):
            expected.append((line, values))
        line = reader.line_num + 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(out.getvalue().encode())
        source = TabularFile(
            path,
            load_contracts(PROJECT / "include" / "feeds")["product_events"],
            Flags(),
        )
        found = [(row.line, list(row.data.values())) for row in source.rows(source.survey())]
    assert found == expected


def test_memory_is_flat(tmp_path, contracts, monkeypatch):
    monkeypatch.setattr("ecommerce_elt.landing.columns.CHUNK_CHARS", 1 << 20)  # less than the smaller file has

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


def test_rows_of_many_values_are_cut_and_blocks_still_end_at_their_multiples(monkeypatch):
    monkeypatch.setattr(landing_blocks, "BLOCK_CELLS", 5)
    wide, narrow = ["x"] * 4, ["x"]
    blocks = [([1, 2], [wide, wide]), ([3, 4], [wide, wide]), ([5, 6, 7], [narrow, narrow, narrow])]
    found = list(landing_blocks.refilled(iter(blocks), itertools.repeat(3)))
    assert [lines for lines, _ in found] == [[1, 2], [3], [4, 5, 6], [7]]
    assert [row for _, rows in found for row in rows] == [row for _, rows in blocks for row in rows]
