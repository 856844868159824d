"""One small table of product_events in every format."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.spreadsheets import as_ods, as_xls, as_xlsb, as_xlsx

HEADER = ["event_time", "product_id", "quantity", "price"]
ROWS = [["2026-01-01T08:26:00", "P1", 6, 2.55], ["2026-01-02T09:00:00", "P2", -1, 1234.5]]
TEXTS = [["2026-01-01T08:26:00", "P1", "6", "2.55"], ["2026-01-02T09:00:00", "P2", "-1", "1234.5"]]


def as_records(rows):
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


RECORDS = as_records(ROWS)


def as_csv(rows=TEXTS, header=HEADER, **dialect):
    out = io.StringIO()
    writer = csv.writer(out, **dialect)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


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
