"""Measures the cleaning against a rival and the bare engine, the main job on the whole file, and the delay of one event."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import cleaning, marts, stacks, streams
from local.demo import refresh_dashboards
from local.observer import Observer

console = Console(width=None if sys.stdout.isatty() else 110)
SAMPLE_SECONDS = 0.1
FEED = "online_retail"


def _measure(name: str, raw: Path) -> tuple[float, int]:
    """Returns (seconds, peak bytes) of the second of two runs: the first warms the disk cache and the imports."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_SECONDS / 5):
            peak = max(peak, psutil.Process().memory_info().rss)

    with tempfile.TemporaryDirectory() as folder:
        getattr(cleaning, name)(raw, Path(folder))
    threading.Thread(target=watch, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        getattr(cleaning, name)(raw, Path(folder))
        seconds = time.monotonic() - started
    done.set()
    return seconds, peak


def cleaning_against_rivals(data: Path) -> None:
    table = Table("cleaning the whole file, warm", "seconds", "x bare engine", "peak memory MB", title_justify="left")
    with tempfile.TemporaryDirectory() as folder:
        raw = cleaning.raw_object(data, Path(folder))
        results: dict[str, tuple[float, int]] = {}
        for name in ("bare_duckdb", "ours", "pandas_rival"):  # each in a process of its own, for its memory
            command = [sys.executable, "-m", "benchmarks", "--measure", name, "--data", str(raw)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
            results[name] = json.loads(done.stdout)
    bare = results["bare_duckdb"][0]
    for name, (seconds, peak) in results.items():
        table.add_row(name, f"{seconds:.1f}", f"{seconds / bare:.1f}", f"{peak / 1e6:,.0f}")
    console.print(table)


def main_job(data: Path | None) -> None:
    from local.supervision import wait_for

    table, marts_table = Table("main job", "measured", title_justify="left"), None
    started = time.monotonic()
    with stacks.started(airflow=True) as stack:
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
            report = stack.state / "report.json"
            with stacks.PeakMemory(lambda: stacks.tasks(stack)) as memory:
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
            table.add_row("largest task process", f"{memory.largest / 1e6:,.0f} MB")
            for name in ("Firehose", "dynamodb_writer"):
                wait_for(lambda name=name: observer.ways()[name][0] >= 541_909, 600, name, 2)
                table.add_row(f"whole file, first put to the same lines by {name}", f"{time.monotonic() - first:.0f} s")
            wait_for(lambda: not observer.stale_marts(), 300, "the marts", 1)
            marts_table = marts.measure(stack, data)
            table.add_row("dynamodb_writer alone, lines/s", f"{streams.writer_rate(stack, data):,.0f}")
        http = streams.api(stack)
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
