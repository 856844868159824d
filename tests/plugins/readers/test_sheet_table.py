"""The sheet that has the table, and its cells as texts."""

import io
from datetime import UTC, datetime, time, timedelta

import openpyxl
import pytest
from ecommerce_elt.errors import PermanentError

from tests.support.file_formats import HEADER, ROWS
from tests.support.online_retail import INVOICE_HEADER, ONE, TWO, TYPED, read_file
from tests.support.spreadsheets import as_sheets, as_xlsx


def test_a_workbook(tmp_path, contracts):
    path = tmp_path / "shop.xlsx"
    path.write_bytes(as_sheets({"notes": [["read me"]], "2010": [INVOICE_HEADER, *TYPED]}))
    survey, rows = read_file(path, contracts)
    assert survey.sheet == "2010"
    # Dates of a workbook are dates: they are written as ISO 8601, and nothing has to be detected.
    assert [{**r.data, "InvoiceDate": ""} for r in rows] == [
        dict(zip(INVOICE_HEADER, r, strict=True)) | {"InvoiceDate": ""} for r in (ONE, TWO)
    ]
    assert [r.event_time for r in rows] == [
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        datetime(2010, 12, 13, 9, tzinfo=UTC),
    ]


def test_a_workbook_with_two_sheets_that_fit_asks(tmp_path, contracts):
    path = tmp_path / "shop.xlsx"
    path.write_bytes(as_sheets({"2010": [INVOICE_HEADER, *TYPED], "2011": [INVOICE_HEADER, *TYPED]}))
    with pytest.raises(PermanentError, match=r"sheets \['2010', '2011'\] have .* --sheet"):
        read_file(path, contracts)
    one, two = (read_file(path, contracts, sheet=name)[0].data_set for name in ("2010", "2011"))
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
    path.write_bytes(as_sheets({"S": [[*INVOICE_HEADER, "Note", None], *([*row, "n"] for row in body)]}))
    book = openpyxl.load_workbook(path)
    book["S"].merge_cells("I1:J1")  # a header over two columns is the first one's
    book.save(path)
    _, rows = read_file(path, contracts)
    assert [row.data["Description"] for row in rows] == [text for _, text in cells]
    assert {tuple(row.data) for row in rows} == {(*INVOICE_HEADER, "Note")}


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
