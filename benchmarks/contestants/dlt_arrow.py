"""dlt with Arrow tables: the values go through untouched, so the types are those that Arrow's reader found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dlt
import pyarrow as pa
from pyarrow import csv

from benchmarks.contestants.dlt_rows import run

KEPT = "typed by Arrow; a bad value ends the load; no reasons; repeats kept by line number"
TYPES = {
    "InvoiceNo": pa.string(),
    "StockCode": pa.string(),
    "Description": pa.string(),
    "Quantity": pa.int32(),
    "InvoiceDate": pa.timestamp("us"),
    "UnitPrice": pa.decimal128(12, 3),
    "CustomerID": pa.string(),
    "Country": pa.string(),
}


def prepare(folder: Path) -> None:
    pass


def _table(data: Path) -> Iterator[pa.Table]:
    options = csv.ConvertOptions(column_types=TYPES, timestamp_parsers=["%m/%d/%Y %H:%M"])
    table = csv.read_csv(data, convert_options=options)
    yield table.append_column("line", pa.array(range(1, table.num_rows + 1), pa.int64()))


def load(data: Path, folder: Path) -> dict[str, int]:
    resource = dlt.resource(
        _table,
        name="invoice_line",
        primary_key="line",
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )
    return run(resource(data), folder)
