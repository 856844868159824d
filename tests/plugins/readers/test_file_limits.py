"""Small files that become large ones, and large ones: read in a process of their own, whose memory is measured.

Each ends in an error that names the limit, or is read; none takes a gigabyte.
"""

import gzip
import io
import json
import re
import subprocess
import sys
import zipfile
from itertools import chain, repeat

import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.readings import read_files
from ecommerce_elt.settings import FileLimits

from tests.conftest import PROJECT
from tests.plugins.readers.test_fill_down import CONTRACT as ORDERS
from tests.support.spreadsheets import as_ods, as_xls, as_xlsx

MEMORY_BYTES = 1 << 30
pytestmark = pytest.mark.nightly  # files of gigabytes, each read by a process of its own

HEADER = b"event_time,product_id,quantity,price,note\n"
ROW = b"2026-01-01,P1,1,2.50,%b\n"
READ = r"""
import json, re, sys, tempfile
from pathlib import Path
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.events import Envelopes
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.landing.identity import FileIdentity
from ecommerce_elt.readers.readings import read_files
from ecommerce_elt.readers.flags import Flags

contract, rows, error, filled = load_contracts(Path(sys.argv[3]))[sys.argv[2]], 0, "", {}
with tempfile.TemporaryDirectory() as folder:
    try:
        for _, file, survey in read_files(Path(sys.argv[1]), contract, Flags(), Path(folder))[0]:
            envelopes = Envelopes(survey.keys, feed=contract.feed, version=contract.version)
            with FileIdentity(file, survey, Path(folder)) as identity:
                for lines, _ in identity.encoded(25_000, envelopes, "now"):
                    rows += len(lines)
                filled |= survey.filled_down
    except PermanentError as wrong:
        error = str(wrong)
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]  # of this program, not of what started it
print(json.dumps([rows, error, int(peak) * 1024, filled]))
"""


@pytest.fixture
def read_apart(tmp_path):
    """Returns what reads a file in another process: records, error. No process takes more memory than it may."""

    def read(write, feed="product_events", feeds="include/feeds"):
        path = tmp_path / "file"
        with path.open("wb") as file:
            write(file)
        done = subprocess.run(
            [sys.executable, "-c", READ, path, feed, feeds],
            cwd=PROJECT,
            env={"PYTHONPATH": "plugins"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        rows, error, peak, read.filled = json.loads(done.stdout)
        assert peak < MEMORY_BYTES, f"{peak:,} bytes: {error}"
        return rows, error

    return read


def gzip_of(*parts):
    """Returns what writes a gzip of parts, each with the number of times that it is repeated: no gigabyte is packed for it."""

    def write(file):
        for body, times in parts:
            packed = gzip.compress(body)
            for _ in range(times):
                file.write(packed)

    return write


def sheet(body, **parts):
    """Returns what writes an xlsx with this for the rows of its sheet, given as an iterator of bytes."""

    def write(file):
        template = as_xlsx([["x"]])
        with (
            zipfile.ZipFile(io.BytesIO(template)) as source,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target,
        ):
            for name in source.namelist():
                content = source.read(name)
                if name == "xl/worksheets/sheet1.xml":
                    before, after = content[: content.index(b"<row")], content[content.index(b"</sheetData>") :]
                    with target.open(name, "w", force_zip64=True) as part:
                        part.write(before)
                        part.writelines(body)
                        part.write(after)
                else:
                    if name == "xl/_rels/workbook.xml.rels" and parts:
                        texts = b'<Relationship Id="rIdT" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" Target="sharedStrings.xml"/>'
                        content = content.replace(b"</Relationships>", texts + b"</Relationships>")
                    target.writestr(name, content)
            for name, content in parts.items():
                target.writestr(f"xl/{name}.xml", content)

    return write


def cells(number, *values):
    return b"".join(
        [
            b'<row r="%d">' % number,
            *(b'<c r="%c%d" t="str"><v>%b</v></c>' % (65 + i, number, v) for i, v in enumerate(values)),
            b"</row>",
        ]
    )


SHEET_HEADER = cells(1, b"event_time", b"product_id", b"quantity", b"price")
SHEET_ROW = (b"2026-01-01", b"P1", b"1", b"2.50")


def parquet(make_note):
    def write(file):
        note = make_note()
        rows = len(note)
        columns = {"event_time": ["2026-01-01"], "product_id": ["P1"], "quantity": [1], "price": [2.5]}
        table = pa.table({**{name: pa.array(values * rows) for name, values in columns.items()}, "note": note})
        pq.write_table(table, file, compression="zstd", row_group_size=rows)

    return write


MIB = b"x" * (1 << 20)
CASES = {
    "line_of_3_gb": (
        gzip_of((HEADER, 1), (MIB, 3000)),
        "line 2: is longer than 1,048,576 characters.*ECOMMERCE_FILE_ROW_BYTES",
    ),
    "header_of_2_million_columns": (
        lambda file: file.write(b",".join(b"c%d" % i for i in range(2_000_000)) + b"\n1\n"),
        "line 1: is longer than.*ECOMMERCE_FILE_ROW_BYTES",
    ),
    "header_of_100_thousand_columns": (
        lambda file: file.write(HEADER[:-1] + b"," * 100_000 + b"\n1\n"),
        "has 100,005 columns, and 1,000 are allowed.*ECOMMERCE_FILE_COLUMNS",
    ),
    "line_of_many_fields": (lambda file: file.write(HEADER + b"a," * 20_000_000), "line 2: is longer"),
    "record_over_many_lines": (lambda file: file.write(HEADER + b'"\n",' * 20_000_000), "line 2: is longer"),
    "field_over_many_lines": (
        lambda file: file.write(HEADER + ROW % b"" + b'"' + b"a\n" * 20_000_000),
        "line 3: is longer",
    ),
    "title_of_many_lines": (gzip_of((b"title\n" * 100_000, 100)), "line 1 has no column"),
    "gzip_of_nothing": (
        gzip_of((HEADER, 1), (b"\n" * (1 << 20), 1000)),
        "gzip: unpacks to more than 200 times what is packed.*ECOMMERCE_FILE_UNPACKED_RATIO",
    ),
    "gzip_of_a_parquet_that_is_none": (
        gzip_of((b"PAR1", 1), (MIB, 1000)),
        "unpacks to more than 200 times.*UNPACKED_RATIO",
    ),
    "json_text_of_a_gb": (gzip_of((b'{"event_time": "', 1), (MIB, 250)), "line 1: is longer than"),
    "json_object_of_many_keys": (
        lambda file: file.write(b"{" + b",".join(b'"k%d":1' % i for i in range(50_000)) + b"}"),
        "has 50,000 columns, and 1,000 are allowed",
    ),
    "json_array_of_numbers": (lambda file: file.write(b"[" + b"1," * 20_000_000), "record 1: is no object"),
    "json_of_spaces": (gzip_of((b"[", 1), (b" " * (1 << 20), 250)), "the array does not end"),
    "sheet_to_the_last_cell": (
        sheet([SHEET_HEADER, b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>']),
        "up to column 16,384, and 1,000 columns are allowed.*ECOMMERCE_FILE_COLUMNS",
    ),
    "sheet_to_a_row_that_is_none": (
        sheet([SHEET_HEADER, b'<row r="4000000000"><c r="Z4000000000"><v>1</v></c></row>']),
        "cells from the first to the last.*ECOMMERCE_FILE_SHEET_CELLS",
    ),
    "sheet_of_small_cells": (
        sheet([SHEET_HEADER, *[b"<row>" + b"<c><v>1</v></c>" * 20 + b"</row>"] * 600_000]),
        "cells from the first to the last.*ECOMMERCE_FILE_SHEET_CELLS",
    ),
    "sheet_of_a_long_text": (
        sheet(chain([b'<row r="1"><c r="A1" t="str"><v>'], repeat(MIB, 300), [b"</v></c></row>"])),
        "takes more than .* bytes of memory.*ECOMMERCE_FILE_SHEET_MEMORY_BYTES",
    ),
    "sheet_of_a_gb": (
        sheet([SHEET_HEADER, *[cells(2, MIB)] * 600]),
        r"sheet1.xml has .* bytes, and 536,870,912 are allowed.*ECOMMERCE_FILE_SHEET_BYTES",
    ),
    "sheet_of_shared_texts": (
        sheet(
            [SHEET_HEADER, *[b"<row>" + b'<c t="s"><v>0</v></c>' * 20 + b"</row>"] * 20_000],
            sharedStrings=b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>'
            + b"x" * 30_000
            + b"</t></si></sst>",
        ),
        "takes more than .* bytes of memory.*ECOMMERCE_FILE_SHEET_MEMORY_BYTES",
    ),
    "parquet_of_a_long_text": (
        parquet(lambda: pa.array(["x" * (300 << 20)])),
        "column note has .*ECOMMERCE_FILE_COLUMN_CHUNK_BYTES",
    ),
    "parquet_of_a_long_text_that_is_repeated": (
        parquet(lambda: pa.DictionaryArray.from_arrays(pa.array([0] * 5000), pa.array(["x" * (8 << 20)]))),
        "is longer than 1,048,576",
    ),
    "parquet_of_lists": (
        parquet(lambda: pa.ListArray.from_arrays(pa.array([0, 40_000_000]), pa.array(numpy.ones(40_000_000, "int8")))),
        "column note.* values in row group 1.*ECOMMERCE_FILE_COLUMN_CHUNK_BYTES",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_would_take_too_much_is_refused_by_the_name_of_its_limit(read_apart, case):
    write, says = CASES[case]
    rows, error = read_apart(write)
    assert re.search(says, error), error
    assert rows == 0


def test_rows_as_long_as_they_may_be_are_read_a_few_at_a_time(read_apart):
    long = ROW % (b"\xf0\x9f\x98\x80" * 200_000)  # four bytes in the file, and four in memory
    wide = b"2026-01-01,P1,1,2.50," + b"ab," * 300_000 + b"\n"
    assert read_apart(gzip_of((HEADER, 1), (ROW % b"" * 1000, 1), (long, 100), (wide, 100))) == (1200, "")
    lines = json.dumps(
        {"event_time": "2026-01-01", "product_id": "P1", "quantity": 1, "price": 2, "n": "\U0001f600" * 200_000},
        ensure_ascii=False,
    )
    assert read_apart(gzip_of((lines.encode() + b"\n", 200))) == (200, "")


def test_long_rows_that_are_known_by_their_values(read_apart):
    header = b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    rows = [b"53%d,85123A,%b,6,2010-12-13 08:26,2.55,17850,France\n" % (i, b"x" * 16_000) for i in range(1000)]
    long = rows[0].replace(b"x" * 16_000, b"\xf0\x9f\x98\x80" * 200_000)
    assert read_apart(gzip_of((header, 1), (b"".join(rows), 5), (long, 100)), "online_retail") == (5100, "")


def test_values_of_orders_are_given_to_five_million_rows(read_apart, tmp_path):
    """Neither the orders nor the rows are remembered; each order has five rows, and says once when it was and whose it is."""
    (tmp_path / "orders.yaml").write_text(yaml.safe_dump(ORDERS))
    orders = [
        b"%d,2024-01-%02d 10:00,buyer %d,mug,9.00\n%b"
        % (n, 1 + n % 28, n, b"".join(b"%d,,,cup %d,\n" % (n, i) for i in range(4)))
        for n in range(10_000)
    ]
    write = gzip_of((b"Order,At,Buyer,Item,Total\n", 1), (b"".join(orders), 100))
    assert read_apart(write, "orders", tmp_path) == (5_000_000, "")
    assert read_apart.filled == {"At": 4_000_000, "Buyer": 4_000_000}


def test_times_and_numbers_that_are_none_are_not_remembered(read_apart):
    rows = b"".join(b"%d%b,P1,1,%d%b,\n" % (i, b"x" * 100_000, i, b"y" * 100_000) for i in range(3000))
    assert read_apart(lambda file: file.write(HEADER + rows)) == (3000, "")


def test_a_sheet_of_half_a_million_rows(read_apart):
    rows = (cells(number, *SHEET_ROW, b"note", b"a", b"b", b"c") for number in range(2, 541_911))
    header = cells(1, b"event_time", b"product_id", b"quantity", b"price", b"note", b"x", b"y", b"z")
    assert read_apart(sheet([header, *rows])) == (541_909, "")


def zip_of(*members):
    def write(file):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for name, bodies in members:
                with packed.open(name, "w", force_zip64=True) as part:
                    part.writelines(bodies)

    return write


@pytest.mark.parametrize(
    ("write", "says"),
    [
        pytest.param(
            zip_of(("a.csv", [HEADER, *[b"\n" * (1 << 20)] * 1000])),
            "zip: unpacks to more than 200 times.*ECOMMERCE_FILE_UNPACKED_RATIO",
            id="a_large_file",
        ),
        pytest.param(
            zip_of(*((f"{i}.csv", [HEADER]) for i in range(1001))),
            "more than 1,000 files.*ECOMMERCE_FILE_MEMBERS",
            id="many_files",
        ),
        pytest.param(
            zip_of(*((f"{i}", []) for i in range(200_000))),
            "more than 1,000 files.*ECOMMERCE_FILE_MEMBERS",
            id="very_many_files",
        ),
    ],
)
def test_zips_that_would_take_too_much(read_apart, write, says):
    rows, error = read_apart(write)
    assert re.search(says, error), error
    assert rows == 0


def test_a_zip_whose_directory_lies_about_a_size_is_refused(tmp_path, contracts):
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        zip_of(("a.csv", [HEADER, ROW % MIB]))(file)
    body = path.read_bytes()
    size = len(HEADER + ROW % MIB)
    path.write_bytes(body.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(PermanentError, match="cannot be unpacked"):
        read_files(path, contracts["product_events"], Flags(), tmp_path)


@pytest.mark.parametrize(
    ("limits", "body", "says"),
    [
        ({"columns": 3}, HEADER + ROW % b"", "has 5 columns, and 3 are allowed"),
        ({"row_bytes": 1024}, HEADER + ROW % (b"x" * 1100), "line 2: is longer than 1,024 characters"),
        (
            {"unpacked_bytes": 1000},
            gzip.compress(HEADER + (ROW % b"") * 99),
            "unpacks to more than 1,000 bytes.*ECOMMERCE_FILE_UNPACKED_BYTES",
        ),
        ({"sheet_bytes": 500}, as_xlsx([["x" * 600]]), "ECOMMERCE_FILE_SHEET_BYTES"),
        ({"sheet_memory_bytes": 64 << 20}, as_ods([["x"] * 50] * 20_000), "ECOMMERCE_FILE_SHEET_MEMORY_BYTES"),
    ],
    ids=["columns", "row_bytes", "unpacked_bytes", "sheet_bytes", "sheet_memory_bytes"],
)
def test_each_limit_is_a_setting(tmp_path, contracts, limits, body, says):
    path = tmp_path / "file"
    path.write_bytes(body)
    with pytest.raises(PermanentError, match=says):
        read_files(path, contracts["product_events"], Flags(), tmp_path, limits=FileLimits(**limits))


def test_workbooks_of_small_size_are_read_within_the_memory_that_a_trial_has(tmp_path, contracts):
    header = ["event_time", "product_id", "quantity", "price"]
    for make in (as_xls, as_ods):
        path = tmp_path / "file"
        path.write_bytes(make([header, ["2026-01-01", "P1", 1, 2.5]]))
        [reading], _, _ = read_files(path, contracts["product_events"], Flags(), tmp_path)
        assert reading.survey.rows == 1


def test_docs_have_every_limit():
    text = (PROJECT / "docs" / "settings.md").read_text()
    assert [name for name in FileLimits.model_fields if f"`ECOMMERCE_FILE_{name.upper()}`" not in text] == []
