"""Rivals, side by side: `python -m benchmarks.rivals --data online_retail.csv.gz [--only name]`.

The same CSV to typed rows in a table, merged by key, and again a second time without a row more; what a file with three bad
values leaves; and how old an event is when it can be queried, against a row insert a record and an hourly file.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import ages, report, row_insert, stacks
from benchmarks.report import Row
from local.observer import Observer
from local.stack import PROJECT_DIR, Stack
from local.supervision import end, wait_for

FEED = "online_retail"
RIVALS = ("plain_duckdb", "pandas_parquet", "polars_parquet", "spark_local", "dlt_rows", "dlt_arrow")
ON_THE_CLOUD = ("awswrangler_copy", "ours_in_process")  # they need the local cloud, but no Airflow
WITH_AIRFLOW = ("ours_landing", "ours_stream", "latency")
LIMIT = "plain_duckdb"
RIVALS_PYTHON = PROJECT_DIR / ".venv/benchmark/bin/python"
LOAD_SECONDS = 900
DIRTY_FROM, DIRTY_LINES = 27_000, 2000  # of days above 12: before them nobody can tell days from months
RATES = (10, 100)  # events a second of `latency`
RATE_SECONDS = 45
HOUR_SECONDS = 3600
MEGABYTE = 1e6


# -- one process a contestant -------------------------------------------------------------------------------------------


def contest(name: str, data: Path, loads: int, environment: dict[str, str]) -> tuple[list[Row], int, str]:
    """Returns (what each step printed, peak bytes of the process and its children, last line of stderr if it failed)."""
    python = sys.executable if name.startswith("ours") else str(RIVALS_PYTHON)
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "errors").open("w+") as errors:
        command = [python, "-m", "benchmarks.contestants", name, str(data), folder, str(loads)]
        process = subprocess.Popen(
            command, cwd=PROJECT_DIR, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        with stacks.PeakMemory(lambda: stacks.tree(process.pid)) as memory:
            try:
                out, _ = process.communicate(timeout=LOAD_SECONDS)
            except subprocess.TimeoutExpired:
                end(stacks.tree(process.pid))
                out, _ = process.communicate()
            finally:  # also where the benchmark is told to end: Spark has a JVM below it
                end(stacks.tree(process.pid))
        errors.seek(0)
        lines = [line.strip() for line in errors.read().splitlines() if line.strip()]
        steps = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        return steps, memory.bytes, lines[-1][:90] if process.returncode and lines else ""


def of_process(name: str, data: Path, dirty: Path, environment: dict[str, str]) -> Row:
    (ready, *loads), peak, error = contest(name, data, 2, environment)
    if error:
        return {"contestant": name, "first s": None, "second s": None, "checks and keeps": f"failed: {error}"}
    [_, of_dirty], _, _ = contest(name, dirty, 1, environment)
    first, second = loads
    before = second["rows"] if name == "ours_in_process" else 0  # its table is that of the loads before
    return {
        "contestant": name,
        "ready s": ready["seconds"],
        "first s": first["seconds"],
        "second s": second["seconds"],
        "peak MB": peak / MEGABYTE,
        "rows": first["rows"],
        "rows, again": second["rows"],
        f"{DIRTY_LINES} lines, 3 bad": _of_dirty(of_dirty, before),
        "checks and keeps": ready["kept"],
    }


def _of_dirty(found: Row, before: int) -> str:
    if "refused" in found:
        return f"nothing loaded: {found['refused']}"
    more = {k: v for k, v in found.items() if k in {"nulls", "columns_more", "quarantined"} and v}
    told = [f"{value} {what.replace('_', ' ')}" for what, value in more.items()]
    return ", ".join([f"{found['rows'] - before:,} rows", *told])


def dirty_file(data: Path, folder: Path) -> Path:
    """Writes some lines of the file, with a quantity, a time and a price that are none; keys of no line of the file."""
    path = folder / "dirty.csv.gz"
    with gzip.open(data, "rt", newline="") as source, gzip.open(path, "wt", newline="") as target:
        lines = csv.reader(source)
        header = next(lines)
        rows = list(itertools.islice(lines, DIRTY_FROM, DIRTY_FROM + DIRTY_LINES))
        for row in rows:
            row[0] = f"D{row[0]}"
        rows[10][header.index("Quantity")] = "many"
        rows[20][header.index("InvoiceDate")] = "31/31/2011 8:26"
        rows[30][header.index("UnitPrice")] = "2.5.5"
        csv.writer(target).writerows([header, *rows])
    return path


# -- ours with Airflow --------------------------------------------------------------------------------------------------


def _twice(name: str, kept: str, stack: Stack, observer: Observer, load: Callable[[int], None]) -> Row:
    """Loads twice, and returns the row of the table; `load` returns when all is in core."""
    seconds, rows = [], []
    with stacks.PeakMemory(lambda: stacks.tasks(stack)) as memory:
        for turn in range(2):
            started = time.monotonic()
            load(turn)
            seconds.append(time.monotonic() - started)
            rows.append(observer.core()[FEED][0])
    return {
        "contestant": name,
        "first s": seconds[0],
        "second s": seconds[1],
        "peak MB": memory.bytes / MEGABYTE,
        "rows": rows[0],
        "rows, again": rows[1],
        "checks and keeps": kept,
    }


def landing(stack: Stack, data: Path) -> Row:
    """From the put to `landing/` to the report beside the file."""
    observer = Observer.of(stack)

    def load(turn: int) -> None:
        land(observer, data, f"turn-{turn}-{data.name}")

    return _twice("ours_landing", "as ours_in_process, with Airflow; memory of its tasks", stack, observer, load)


def land(observer: Observer, data: Path, name: str, feed: str = FEED) -> None:
    """Puts a file to `landing/` and returns when its report is there."""
    prefix = f"landing/{feed}/{name}"
    observer.s3.upload_file(str(data), observer.bucket, prefix)

    def reported() -> bool:
        return any(key.endswith(".report.json") for key in observer.keys(prefix))

    wait_for(reported, LOAD_SECONDS, "the report", 0.2)
    [key] = [key for key in observer.keys(prefix) if key.endswith(".report.json")]
    told = json.loads(observer.s3.get_object(Bucket=observer.bucket, Key=key)["Body"].read())
    assert told["state"] == "loaded", told.get("error")


def stream(stack: Stack, data: Path) -> Row:
    """From the start of `producer replay` to the last event in core, or known there."""
    observer, environment = Observer.of(stack), os.environ | stack.user_environment()
    told = stack.state / "replay.json"

    def load(turn: int) -> None:
        before = observer.audit().get(FEED, {}).get("accepted", 0)
        command = [sys.executable, "-m", "producer", "replay", str(data), "--report-file", str(told)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        sent = json.loads(told.read_text())["sent"][FEED]
        wait_for(
            lambda: observer.audit().get(FEED, {}).get("accepted", 0) - before >= sent, LOAD_SECONDS, "the events", 0.5
        )

    kept = "as ours_landing, by Kinesis, Lambda and micro-batches; DynamoDB and Firehose fill beside it"
    return _twice("ours_stream", kept, stack, observer, load)


# -- age of an event ----------------------------------------------------------------------------------------------------


def latency(stack: Stack, data: Path) -> list[Row]:
    """Age of an event when it can be queried: measured for us and for a row insert a record, computed for an hourly file."""
    observer, rows = Observer.of(stack), []
    row_insert.deploy(stack, observer)
    stream_name = stack.user_environment()["ECOMMERCE_STREAM"]
    for rate in RATES:
        found: dict[str, Row] = {}
        found["a row insert a record, by a Lambda"] = ages.summary(row_insert.ages(stack, observer, rate, RATE_SECONDS))
        sender = ages.Sender(stack.client("kinesis"), stream_name, ["product_events"], rate)
        sender.prefix = f"rate-{rate}"
        before = observer.core()["product_events"][0]
        with ages.Watch(lambda: ages.committed(observer)) as watch:
            sender.send_for(RATE_SECONDS)
            want = before + len(sender.put_at)
            wait_for(lambda want=want: observer.core()["product_events"][0] >= want, 300, "the events", 1)
        found["ours, by the stream"] = ages.summary(ages.of_batches(observer, sender, watch.seen_at).values())
        with tempfile.TemporaryDirectory() as folder:
            hour = hour_file(data, Path(folder), rate * HOUR_SECONDS)
            started = time.monotonic()
            land(observer, hour, f"hour-of-{rate}-{hour.name}")
            load = time.monotonic() - started
        # An event waits for the end of its hour: evenly between nothing and an hour.
        hourly = {
            "events": rate * HOUR_SECONDS,
            "p50 s": HOUR_SECONDS * 0.5 + load,
            "p95 s": HOUR_SECONDS * 0.95 + load,
            "worst s": HOUR_SECONDS + load,
        }
        found["an hourly file"] = hourly
        for name, row in found.items():
            less = 100 * (1 - row["p50 s"] / hourly["p50 s"])
            how = f"computed: half an hour's wait and {load:.0f} s measured load" if row is hourly else "measured"
            rows.append({"events/s": rate, "way": name, **row, "% less than the hourly file": less, "how": how})
    return rows


def hour_file(data: Path, folder: Path, lines: int) -> Path:
    """Writes the file's first lines as often as it takes: what an hour of events is to a batch."""
    path = folder / f"{lines}.csv.gz"
    with gzip.open(data, "rt", newline="") as source, gzip.open(path, "wt", 1, newline="") as target:
        header, *rows = csv.reader(source)
        writer = csv.writer(target)
        writer.writerow(header)
        writer.writerows(itertools.islice(itertools.cycle(rows), lines))
    return path


# -- all ----------------------------------------------------------------------------------------------------------------


def run(data: Path, only: str) -> Iterator[tuple[str, list[Row]]]:
    """Yields (title of the table, rows) as they come."""

    def wanted(names: tuple[str, ...]) -> list[str]:
        return [name for name in names if only in {"", name}]

    environment = os.environ | {"RUNTIME__DLTHUB_TELEMETRY": "false", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory() as folder:
        dirty = dirty_file(data, Path(folder))
        for name in wanted(RIVALS):
            yield "rivals", [of_process(name, data, dirty, environment)]
        if names := wanted(ON_THE_CLOUD):
            with stacks.started(airflow=False) as stack:
                for name in names:
                    told = environment | stack.user_environment() | {"ECOMMERCE_WORK_DIR": folder}
                    yield "rivals", [of_process(name, data, dirty, told)]
    for name in wanted(WITH_AIRFLOW):
        with stacks.started(airflow=True) as stack:
            if name == "latency":
                yield "latency", latency(stack, data)
            else:
                yield "rivals", [{"ours_landing": landing, "ours_stream": stream}[name](stack, data)]


def main(
    data: Annotated[Path, typer.Option(help="UCI Online Retail as CSV.gz.", exists=True)],
    only: Annotated[str, typer.Option(help=", ".join([*RIVALS, *ON_THE_CLOUD, *WITH_AIRFLOW]))] = "",
) -> None:
    if only and only not in (*RIVALS, *ON_THE_CLOUD, *WITH_AIRFLOW):
        raise typer.BadParameter(f"--only {only}: there are {', '.join([*RIVALS, *ON_THE_CLOUD, *WITH_AIRFLOW])}")
    stacks.end_on_sigterm()
    tables: dict[str, list[Row]] = {}
    for title, rows in run(data.resolve(), only):
        tables.setdefault(title, []).extend(rows)
        print(report.markdown(rows), flush=True)
    limit: Any = next((r["first s"] for r in tables.get("rivals", []) if r["contestant"] == LIMIT), None)
    for row in tables.get("rivals", []):
        if limit and row["first s"]:
            row[f"x {LIMIT}"] = row["first s"] / limit
    titles = {
        "rivals": "The same file to typed rows, merged by key, twice",
        "latency": "Age of an event when it can be queried",
    }
    report.publish("rivals" + (f"-{only}" if only else ""), {titles[name]: rows for name, rows in tables.items()})


if __name__ == "__main__":
    typer.run(main)
