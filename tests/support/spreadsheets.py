"""Workbooks in all formats, as small as they can be: no spreadsheet program is needed to write them."""

import io
import struct
import zipfile
from xml.sax.saxutils import escape

import openpyxl


def as_xlsx(rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def as_sheets(sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def as_ods(rows):
    """OpenDocument 1.3, part 3: a zip with a type and a content."""

    def cell(value):
        if isinstance(value, str):
            return f'<table:table-cell office:value-type="string"><text:p>{escape(value)}</text:p></table:table-cell>'
        return f'<table:table-cell office:value-type="float" office:value="{value}"/>'

    table = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    names = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content{names} office:version="1.3"><office:body><office:spreadsheet>'
        f'<table:table table:name="S">{table}</table:table></office:spreadsheet></office:body></office:document-content>'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet", zipfile.ZIP_STORED)
        packed.writestr("content.xml", content)
        packed.writestr(
            "META-INF/manifest.xml",
            '<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        )
    return out.getvalue()


def as_xlsb(rows):
    """[MS-XLSB]: a zip of records, each with its type and its length."""

    def record(kind, body=b""):
        kind_bytes = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
        length, size = b"", len(body)
        while True:
            length += bytes([size & 0x7F | (0x80 if size > 0x7F else 0)])
            size >>= 7
            if not size:
                return kind_bytes + length + body

    def text(value):
        return struct.pack("<I", len(value)) + value.encode("utf-16-le")

    def cell(column, value):
        head = struct.pack("<II", column, 0)
        if isinstance(value, str):
            return record(6, head + text(value))  # BrtCellSt
        return record(5, head + struct.pack("<d", value))  # BrtCellReal

    book = (
        record(131)
        + record(143)
        + record(156, struct.pack("<II", 0, 1) + text("rId1") + text("S"))
        + record(144)
        + record(132)
    )
    sheet = (
        record(129)
        + record(148, struct.pack("<IIII", 0, max(len(rows) - 1, 0), 0, max(map(len, rows)) - 1))
        + record(145)
    )
    for number, row in enumerate(rows):
        sheet += record(0, struct.pack("<IIHHBI", number, 0, 300, 0, 0, 0))  # BrtRowHdr
        sheet += b"".join(cell(column, value) for column, value in enumerate(row))
    sheet += record(146) + record(130)
    relation = '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{}" Target="{}"/>'
    relations = '<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(
            "[Content_Types].xml",
            '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        )
        packed.writestr("_rels/.rels", relations.format(relation.format("officeDocument", "xl/workbook.bin")))
        packed.writestr(
            "xl/_rels/workbook.bin.rels", relations.format(relation.format("worksheet", "worksheets/sheet1.bin"))
        )
        packed.writestr("xl/workbook.bin", book)
        packed.writestr("xl/worksheets/sheet1.bin", sheet)
    return out.getvalue()


def as_xls(rows):
    """[MS-XLS] in [MS-CFB]: BIFF8 records in the stream Workbook, which takes 4,096 bytes or more."""

    def record(kind, body=b""):
        return struct.pack("<HH", kind, len(body)) + body

    def text(value, length):
        return struct.pack(length, len(value)) + b"\x01" + value.encode("utf-16-le")

    begin = struct.pack("<HHHHII", 0x0600, 0, 0x0DBB, 0x07CC, 0, 6)
    sheet = record(0x0809, begin[:2] + b"\x10\x00" + begin[4:])
    width = max(map(len, rows))
    sheet += record(0x0200, struct.pack("<IIHHH", 0, len(rows), 0, width, 0))
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            head = struct.pack("<HHH", number, column, 0)
            sheet += (
                record(0x0204, head + text(value, "<H"))
                if isinstance(value, str)
                else record(0x0203, head + struct.pack("<d", value))
            )
    sheet += record(0x000A)
    head = (
        record(0x0809, begin[:2] + b"\x05\x00" + begin[4:])
        + record(0x0042, struct.pack("<H", 1200))
        + record(0x00E0, b"\0" * 20)
    )
    bound_bytes = 4 + 6 + len(text("S", "<B"))
    at = len(head) + bound_bytes + 4
    book = head + record(0x0085, struct.pack("<IH", at, 0) + text("S", "<B")) + record(0x000A) + sheet
    book += b"\0" * (max(4096, -(-len(book) // 512) * 512) - len(book))
    sectors = len(book) // 512
    free, end, fat = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    assert sectors + 2 <= 128  # one sector of the FAT
    chain = [*range(1, sectors), end, end, fat]  # the stream, the directory, the FAT
    chain += [free] * (128 - len(chain))

    def entry(name, kind, start, size, child=free):
        raw = name.encode("utf-16-le")
        return (
            raw.ljust(64, b"\0")
            + struct.pack("<HBBIII", len(raw) + 2 if raw else 0, kind, 1, free, free, child)
            + b"\0" * 36
            + struct.pack("<IQ", start, size)
        )

    directory = entry("Root Entry", 5, end, 0, 1) + entry("Workbook", 2, 0, len(book)) + entry("", 0, 0, 0) * 2
    header = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + b"\0" * 16
        + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
        + b"\0" * 6
        + struct.pack("<IIIIIIIII", 0, 1, sectors, 0, 4096, end, 0, end, 0)
        + struct.pack("<I", sectors + 1)
        + struct.pack("<I", free) * 108
    )
    return header + book + directory + struct.pack("<128I", *chain)


def as_zip(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, body in files.items():
            packed.writestr(name, body)
    return out.getvalue()
