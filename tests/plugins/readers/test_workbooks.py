"""Workbooks that are damaged, or have formulas without values."""

import contextlib
import io
import struct
import zipfile

import pytest
from ecommerce_elt.errors import PermanentError

from tests.support.file_formats import HEADER, ROWS
from tests.support.online_retail import INVOICE_HEADER, TYPED, read_file
from tests.support.spreadsheets import as_sheets, as_xlsx, as_zip


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/styles.xml"])
def test_a_damaged_workbook_is_refused_by_name(tmp_path, contracts, part):
    path = tmp_path / "shop.xlsx"
    path.write_bytes(as_sheets({"S": [INVOICE_HEADER, *TYPED]}))
    with zipfile.ZipFile(path) as packed:
        wrong = struct.pack("<I", packed.getinfo(part).CRC ^ 1)
        right = struct.pack("<I", packed.getinfo(part).CRC)
    path.write_bytes(path.read_bytes().replace(right, wrong))
    with pytest.raises(
        PermanentError,
        match=rf"shop\.xlsx: cannot be read as a workbook: Bad CRC-32 for file '{part}'.*Copy the file anew",
    ):
        read_file(path, contracts)


def test_a_workbook_that_is_cut_or_garbled_is_refused(tmp_path, contracts):
    path = tmp_path / "shop.XLSX"
    path.write_bytes(as_sheets({"S": [INVOICE_HEADER, *TYPED]}))
    body = path.read_bytes()
    read_file(path, contracts)
    harmless = []
    for at in range(0, len(body), 97):
        path.write_bytes(body[:at])
        with pytest.raises(PermanentError, match=r"shop\.XLSX: cannot be read as a workbook"):
            read_file(path, contracts)
        path.write_bytes(body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :])
        with contextlib.suppress(
            PermanentError
        ):  # a byte that nothing depends on, as a time in the directory, does no harm
            read_file(path, contracts)
            harmless.append(at)
    assert len(harmless) < len(body) / 97 / 2


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
