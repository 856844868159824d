"""The limit: DuckDB alone, casts and a MERGE, without an index, which would make the second load seven times as slow."""

from __future__ import annotations

from pathlib import Path

import duckdb

KEPT = "typed; a bad value ends the load; no reasons; repeats kept by line number"
CREATE = """CREATE TABLE invoice_line (line BIGINT, invoice_no VARCHAR, stock_code VARCHAR, description VARCHAR,
    quantity INTEGER, invoice_date TIMESTAMP, unit_price DECIMAL(12, 3), customer_id VARCHAR, country VARCHAR)"""
MERGE = """
MERGE INTO invoice_line USING (
    SELECT ROW_NUMBER() OVER () AS line, InvoiceNo AS invoice_no, StockCode AS stock_code, Description AS description,
        Quantity::INTEGER AS quantity, STRPTIME(InvoiceDate, '%m/%d/%Y %H:%M') AS invoice_date,
        UnitPrice::DECIMAL(12, 3) AS unit_price, CustomerID AS customer_id, Country AS country
    FROM read_csv($data, header = true, all_varchar = true)
) AS new USING (line)
WHEN MATCHED THEN UPDATE
WHEN NOT MATCHED THEN INSERT
"""


def prepare(folder: Path) -> None:
    with duckdb.connect(folder / "table.duckdb") as database:
        database.execute(CREATE)


def load(data: Path, folder: Path) -> dict[str, int]:
    with duckdb.connect(folder / "table.duckdb") as database:
        database.execute(MERGE, {"data": str(data)})
        return {"rows": database.sql("SELECT COUNT(*) FROM invoice_line").fetchall()[0][0]}
