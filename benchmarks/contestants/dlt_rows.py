"""dlt, row by row: what its documentation shows for a CSV, with types as hints and an upsert into DuckDB."""

from __future__ import annotations

import csv
import gzip
import itertools
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt

KEPT = "typed by hints; a bad value goes to a column of its own (`quantity__v_text`); no reasons; repeats kept by line number"
ROWS_A_PAGE = 10_000
COLUMNS = {
    "Quantity": {"data_type": "bigint"},
    "UnitPrice": {"data_type": "decimal", "precision": 12, "scale": 3},
    "InvoiceDate": {"data_type": "timestamp", "timezone": False},
}


def prepare(folder: Path) -> None:
    pass


def _rows(data: Path) -> Iterator[list[dict[str, Any]]]:
    opened = gzip.open if data.suffix == ".gz" else open
    with opened(data, "rt", newline="", encoding="utf-8") as file:
        numbered = enumerate(csv.DictReader(file), 1)
        while page := list(itertools.islice(numbered, ROWS_A_PAGE)):
            yield [row | {"line": line, "InvoiceDate": _time(row["InvoiceDate"])} for line, row in page]


def _time(text: str) -> datetime | str:
    """dlt reads ISO times alone; what is none goes on as text, so that dlt decides."""
    try:
        return datetime.strptime(text, "%m/%d/%Y %H:%M")
    except ValueError:
        return text


def run(resource: Any, folder: Path) -> dict[str, int]:
    """Runs a pipeline with the resource, and returns the rows of its table."""
    pipeline = dlt.pipeline(
        "rival",
        pipelines_dir=str(folder / "pipelines"),
        dataset_name="retail",
        destination=dlt.destinations.duckdb(str(folder / "table.duckdb")),
    )
    pipeline.run(resource)
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT COUNT(*) FROM invoice_line")[0][0]
        columns = client.execute_sql("SELECT * FROM (DESCRIBE invoice_line)")
    strange = sorted(column[0] for column in columns if "__v_" in column[0])
    return {"rows": rows, **({"columns_more": len(strange)} if strange else {})}


def load(data: Path, folder: Path) -> dict[str, int]:
    resource = dlt.resource(
        _rows,
        name="invoice_line",
        primary_key="line",
        columns=COLUMNS,
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )
    return run(resource(data), folder)
