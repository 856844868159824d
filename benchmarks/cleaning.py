"""Measures the cleaning of a whole file beside its rivals: bare DuckDB as the limit, and the usual pandas script.

`make benchmark-cleaning DATA=path/to/online_retail.csv.gz` prints the seconds and how many times bare DuckDB's they are.
All take turns in one process, so that what else the machine does meets each of them.
"""

from __future__ import annotations

import gzip
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from rich.console import Console
from rich.table import Table

FEED = "online_retail"
RAW_KEY = f"raw/feed={FEED}/dt=2026-01-01/hour=00/all.jsonl.gz"
ENGINE = {"memory_limit": "512MiB", "threads": 2}


def raw_object(data: Path, folder: Path) -> Path:
    """Writes the file's events as one raw object, as replay and raw_writer would."""
    from ecommerce_elt.feeds.contracts import load_contracts
    from ecommerce_elt.feeds.events import envelope, event_ids
    from ecommerce_elt.readers.flags import Flags
    from ecommerce_elt.readers.tabular import TabularFile
    from ecommerce_elt.settings import PROJECT_DIR

    source = TabularFile(data, load_contracts(PROJECT_DIR / "include/feeds")[FEED], Flags())
    survey = source.survey()
    identify = event_ids(survey.data_set)
    path = folder / "all.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for row in source.rows(survey):
            file.write(
                envelope(
                    event_id=identify(row.line),
                    feed=FEED,
                    version=1,
                    event_time=row.event_time,
                    sent_at="2026-01-01T00:00:00Z",
                    data=row.data,
                )
                + b"\n"
            )
    return path


def ours(raw: Path, work: Path) -> None:
    """The product's cleaning: typing, all reasons, duplicates, sorted Parquet, one file a day."""
    from ecommerce_elt.batches import clean_files
    from ecommerce_elt.cleaning import cleaner
    from ecommerce_elt.feeds.contracts import load_contracts
    from ecommerce_elt.settings import settings

    contract = load_contracts(settings().include_dir / "feeds")[FEED]
    with duckdb.connect(work / "batch.duckdb", config=ENGINE | {"temp_directory": str(work / "spill")}) as engine:
        cleaner.run_cleaning(engine, {RAW_KEY: raw}, FEED, contract, settings())
        reader = engine.sql(cleaner.SELECT_CLEAN).to_arrow_reader(cleaner.ROWS_PER_READ)
        for _ in clean_files.split_by_date(reader, work):
            pass


def bare_duckdb(raw: Path, work: Path) -> None:
    """The engine alone: casts, no rules, no reasons, no duplicates, one sorted Parquet file."""
    with duckdb.connect(work / "bare.duckdb", config=ENGINE | {"temp_directory": str(work / "spill")}) as engine:
        engine.execute("SET TimeZone = 'UTC'")
        query = f"""SELECT event_id, event_time::TIMESTAMPTZ::TIMESTAMP AS event_time,
            data->>'InvoiceNo' AS invoice_no, data->>'StockCode' AS stock_code, data->>'Description' AS description,
            (data->>'Quantity')::INTEGER AS quantity, (data->>'UnitPrice')::DECIMAL(12,3) AS unit_price,
            data->>'CustomerID' AS customer_id, data->>'Country' AS country
            FROM read_json('{raw}', format = 'newline_delimited',
                columns = {{event_id: 'VARCHAR', event_time: 'VARCHAR', data: 'JSON'}})
            ORDER BY event_time, event_id"""
        engine.execute(f"COPY ({query}) TO '{work / 'out.parquet'}' (FORMAT parquet)")


def pandas_rival(raw: Path, work: Path) -> None:
    """The usual pandas script: casts, no rules, no reasons, one Parquet file a day."""
    import pandas

    events = pandas.read_json(raw, lines=True, dtype=False)
    frame = pandas.json_normalize(events["data"].tolist())
    frame["event_id"] = events["event_id"]
    frame["event_time"] = pandas.to_datetime(events["event_time"])
    frame["Quantity"] = pandas.to_numeric(frame["Quantity"])
    frame["UnitPrice"] = pandas.to_numeric(frame["UnitPrice"])
    (work / "out").mkdir()
    for date, rows in frame.groupby(frame["event_time"].dt.date):
        rows.to_parquet(work / "out" / f"{date}.parquet")


def _spent(run: Callable[[Path, Path], None], raw: Path) -> tuple[float, float]:
    """Returns (seconds, seconds of CPU) of one run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        started, cpu = time.monotonic(), time.process_time()
        run(raw, Path(folder))
        return time.monotonic() - started, time.process_time() - cpu


def main(
    data: Annotated[Path, typer.Option(help="UCI Online Retail as CSV or CSV.gz.")],
    rounds: Annotated[int, typer.Option(help="Of each, after one that warms caches and imports.")] = 3,
) -> None:
    os.environ.setdefault("ECOMMERCE_BUCKET", "benchmark")
    os.environ.setdefault("ECOMMERCE_PII_HMAC_KEY", "a key for the benchmark")
    runs = (bare_duckdb, ours, pandas_rival)
    with tempfile.TemporaryDirectory() as folder:
        raw = raw_object(data.resolve(), Path(folder))
        spent = [[_spent(run, raw) for run in runs] for _ in range(rounds + 1)][1:]
    table = Table("cleaning the whole file, median", "seconds", "x bare DuckDB", "CPU seconds", "x bare DuckDB")
    for number, run in enumerate(runs):
        cells = [run.__name__]
        for kind in (0, 1):
            cells.append(f"{statistics.median(one[number][kind] for one in spent):.1f}")
            cells.append(f"{statistics.median(one[number][kind] / one[0][kind] for one in spent):.1f}")
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
