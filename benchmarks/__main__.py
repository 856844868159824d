"""Measures the cleaning against a rival and the bare engine, the main job on the whole file, and the delay of one event."""

from __future__ import annotations

import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import marts, streams
from local.demo import Observer, refresh_dashboards

console = Console(width=None if sys.stdout.isatty() else 110)
SAMPLE_SECONDS = 0.1
FEED = "online_retail"
RAW_KEY = f"raw/feed={FEED}/dt=2026-01-01/hour=00/all.jsonl.gz"


def _raw_object(data: Path, folder: Path) -> Path:
    """Writes the file's events as one raw object, as replay and raw_writer would."""
    from ecommerce_elt.events import envelope, event_ids
    from ecommerce_elt.feeds import load_contracts
    from ecommerce_elt.settings import PROJECT_DIR
    from ecommerce_elt.tabular import Flags, TabularFile

    source = TabularFile(data, load_contracts(PROJECT_DIR / "include/feeds")[FEED], Flags())
    survey = source.survey()
    identify = event_ids(survey.data_set)
    path = folder / "all.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for row in source.rows(survey):
            file.write(envelope(event_id=identify(row.line), feed=FEED, version=1, event_time=row.event_time,
                                sent_at="2026-01-01T00:00:00Z", data=row.data) + b"\n")  # fmt: skip
    return path


def ours(raw: Path, work: Path) -> None:
    """The product's cleaning: typing, all reasons, duplicates, sorted Parquet."""
    import duckdb
    from ecommerce_elt import cleaning, lake_files
    from ecommerce_elt.feeds import load_contracts
    from ecommerce_elt.settings import settings

    contract = load_contracts(settings().include_dir / "feeds")[FEED]
    config = {"memory_limit": "512MiB", "threads": 2, "temp_directory": str(work / "spill")}
    with duckdb.connect(work / "batch.duckdb", config=config) as engine:
        cleaning.run_cleaning(engine, {RAW_KEY: raw}, FEED, contract, settings())
        reader = engine.sql(cleaning.SELECT_CLEAN).to_arrow_reader(cleaning.ROWS_PER_READ)
        for _ in lake_files.split_by_date(reader, work):
            pass


def bare_duckdb(raw: Path, work: Path) -> None:
    """The engine alone: casts, no rules, no reasons, no duplicates, one Parquet file a day."""
    import duckdb

    with duckdb.connect(config={"threads": 2}) as engine:
        engine.execute("SET TimeZone = 'UTC'")
        query = """SELECT event_id, event_time::TIMESTAMPTZ::TIMESTAMP AS event_time, event_time[:10] AS dt,
            data->>'InvoiceNo' AS invoice_no, data->>'StockCode' AS stock_code, data->>'Description' AS description,
            (data->>'Quantity')::INTEGER AS quantity, (data->>'UnitPrice')::DECIMAL(12,3) AS unit_price,
            data->>'CustomerID' AS customer_id, data->>'Country' AS country
            FROM read_json($raw, format = 'newline_delimited', columns = {event_id: 'VARCHAR', event_time: 'VARCHAR', data: 'JSON'})"""
        target = f"COPY ({query}) TO '{work / 'out'}' (FORMAT parquet, PARTITION_BY (dt))"
        engine.execute(target.replace("$raw", f"'{raw}'"))


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


def _measure(name: str, raw: Path) -> tuple[float, int]:
    """Returns (seconds, peak bytes) of the second of two runs: the first warms the disk cache and the imports."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_SECONDS / 5):
            peak = max(peak, psutil.Process().memory_info().rss)

    with tempfile.TemporaryDirectory() as folder:
        globals()[name](raw, Path(folder))
    threading.Thread(target=watch, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        globals()[name](raw, Path(folder))
        seconds = time.monotonic() - started
    done.set()
    return seconds, peak


def cleaning_against_rivals(data: Path) -> None:
    table = Table("cleaning the whole file, warm", "seconds", "x bare engine", "peak memory MB", title_justify="left")
    with tempfile.TemporaryDirectory() as folder:
        raw = _raw_object(data, Path(folder))
        results: dict[str, tuple[float, int]] = {}
        for name in ("bare_duckdb", "ours", "pandas_rival"):  # each in a process of its own, for its memory
            command = [sys.executable, "-m", "benchmarks", "--measure", name, "--data", str(raw)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
            results[name] = json.loads(done.stdout)
    bare = results["bare_duckdb"][0]
    for name, (seconds, peak) in results.items():
        table.add_row(name, f"{seconds:.1f}", f"{seconds / bare:.1f}", f"{peak / 1e6:,.0f}")
    console.print(table)


class TaskMemory:
    """The largest task process of a stack: children of the scheduler that are not the scheduler."""

    def __init__(self, find: Callable[[], list[psutil.Process]]) -> None:
        self.find, self.peak, self._done = find, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> TaskMemory:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            for process in self.find():
                try:
                    self.peak = max(self.peak, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue


def main_job(data: Path | None) -> None:
    from local import lifecycle
    from local.stack import Stack
    from local.supervision import Supervisor, wait_for

    quiet = Console(quiet=True)
    table, marts_table = Table("main job", "measured", title_justify="left"), None
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), 18080, 14566, 14567, 14568, 14569, 14570, 14571)
        try:
            started = time.monotonic()
            lifecycle.up(stack, quiet)
            table.add_row("make up, packages installed, empty state", f"{time.monotonic() - started:.0f} s")
            observer = Observer.of(stack)
            env = os.environ | stack.user_environment()

            def produce(*arguments: str) -> None:
                subprocess.run([sys.executable, "-m", "producer", *arguments], env=env, check=True, capture_output=True)

            produce("simulate", "--feed", "purchases", "--count", "100", "--seed", "1")
            wait_for(lambda: observer.core()["purchases"][0] == 100, 120, "the first batch")

            delays = []
            for _ in range(5):
                before = observer.core()["product_events"][0]
                produce("simulate", "--feed", "product_events", "--count", "1", "--seed", str(random.randrange(10**9)))
                started = time.monotonic()
                wait_for(lambda before=before: observer.core()["product_events"][0] > before, 60, "the event", 0.05)
                delays.append(time.monotonic() - started)
            table.add_row(
                "one event, put to queryable, median and worst of 5",
                f"{statistics.median(delays):.1f} s, {max(delays):.1f} s",
            )

            if data:
                [scheduler] = [p["pid"] for p in Supervisor(stack).states() if p["name"] == "airflow-scheduler"]
                report = Path(folder) / "report.json"
                with TaskMemory(lambda: psutil.Process(scheduler).children(recursive=True)) as memory:
                    produce("replay", str(data), "--report-file", str(report))
                    sent = json.loads(report.read_text())["seconds"]
                    first = time.monotonic() - sent
                    wait_for(lambda: observer.core()[FEED][0] >= 541_909, 300, "the last row", 0.2)
                    total = time.monotonic() - first
                    refresh_dashboards(stack, observer)
                    fresh = time.monotonic() - first
                table.add_row("whole file, first put to last put", f"{sent:.0f} s")
                table.add_row("whole file, first put to last row in core", f"{total:.0f} s")
                table.add_row(
                    "whole file, first put to marts and dashboards, asked for after the last row", f"{fresh:.0f} s"
                )
                table.add_row("largest task process", f"{memory.peak / 1e6:,.0f} MB")
                for name in ("Firehose", "dynamodb_writer"):
                    wait_for(lambda name=name: observer.ways()[name][0] >= 541_909, 600, name, 2)
                    table.add_row(
                        f"whole file, first put to the same lines by {name}", f"{time.monotonic() - first:.0f} s"
                    )
                wait_for(lambda: not observer.stale_marts(), 300, "the marts", 1)
                marts_table = marts.measure(stack, data)
                table.add_row("dynamodb_writer alone, lines/s", f"{streams.writer_rate(stack, data):,.0f}")
            http = streams.api(stack)
        finally:
            lifecycle.reset(stack, quiet)
    console.print(table)
    if marts_table:
        console.print(marts_table)
    console.print(http)


def main(
    data: Annotated[Path | None, typer.Option(help="UCI Online Retail as CSV or CSV.gz.")] = None,
    measure: Annotated[str, typer.Option(hidden=True)] = "",
    part: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    os.environ.setdefault("ECOMMERCE_BUCKET", "benchmark")
    os.environ.setdefault("ECOMMERCE_PII_HMAC_KEY", "a key for the benchmark")
    if measure == "write_a_share" and data:
        print(streams.write_a_share(data, part))
        return
    if measure and data:
        print(json.dumps(_measure(measure, data)))
        return
    console.print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}", highlight=False)
    if data:
        cleaning_against_rivals(data.resolve())
    main_job(data.resolve() if data else None)


if __name__ == "__main__":
    typer.run(main)
