"""The lake: `python -m benchmarks.lake --data online_retail.csv.gz`.

How soon landed files have their reports, how much memory a file ten times as large takes, what compaction is worth to a query, and
how the time of a crawl grows with the number of objects.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import stacks
from local.observer import Observer
from local.stack import Stack
from local.supervision import wait_for

FEED = "online_retail"
SMALL_FILES, SMALL_ROWS = 33, 500
WORKBOOK_ROWS = 525_461
SHARES = 20  # micro-batches that each day's rows are spread over
SAMPLE_SECONDS = 0.1
console = Console(width=120)


def landing(stack: Stack, data: Path, table: Table) -> None:
    """Files by `landing/` with Airflow: the whole file, small ones dropped at once, and a workbook, each to its report.

    Each waits until the marts of the one before are built. The small files and the workbook have the dates of earlier
    years, so that their rows are new, too.
    """
    observer = Observer.of(stack)
    with gzip.open(data, "rt", newline="") as source:
        header, *rows = csv.reader(source)
    # In ISO 8601, since the dates of so few rows would fit month/day and day/month.
    small = [
        _csv(
            [
                header,
                *([*row[:4], _time_of(row, 2).isoformat(" "), *row[5:]] for row in rows[n * SMALL_ROWS :][:SMALL_ROWS]),
            ]
        )
        for n in range(SMALL_FILES)
    ]
    wait_for(observer.is_idle, 60, "an idle stack")

    def landed(files: dict[str, bytes]) -> float:
        wait_for(lambda: not observer.stale_marts() and observer.is_idle(), 300, "the marts", 0.5)
        started = time.monotonic()
        for key, body in files.items():
            observer.s3.put_object(Bucket=observer.bucket, Key=key, Body=body)
        for key in files:
            wait_for(lambda key=key: _report(observer, key), 900, f"the report of {key}", 0.1)
            found = _report(observer, key)
            assert found["state"] == "loaded", found
        return time.monotonic() - started

    seconds = landed({f"landing/{FEED}/{data.name}": data.read_bytes()})
    table.add_row("whole file, put to report", f"{seconds:.1f} s")
    names = {f"landing/{FEED}/small/{n:02}.csv": body for n, body in enumerate(small)}
    seconds = landed(names)
    table.add_row(f"{SMALL_FILES} files of {SMALL_ROWS:,} rows put at once, to the last report", f"{seconds:.1f} s")
    seconds = landed({f"landing/{FEED}/book.xlsx": _workbook([header, *rows[:WORKBOOK_ROWS]])})
    table.add_row(f"{WORKBOOK_ROWS:,} rows of .xlsx, put to report", f"{seconds:.1f} s")
    wait_for(lambda: not observer.stale_marts(), 300, "the marts", 0.5)


def _report(observer: Observer, key: str) -> Any:
    """Returns the report beside a landed file; None where there is none yet."""
    found = [k for k in observer.keys(f"{key}.") if k.endswith(".report.json")]
    return json.loads(observer.s3.get_object(Bucket=observer.bucket, Key=found[0])["Body"].read()) if found else None


def _time_of(row: list[str], years_before: int) -> datetime:
    at = datetime.strptime(row[4], "%m/%d/%Y %H:%M")
    return at.replace(year=at.year - years_before)


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _workbook(rows: list[list[str]]) -> bytes:
    """A workbook with numbers as numbers and dates as dates, as a shop exports it."""
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Online Retail")
    header, *body = rows
    sheet.append(header)
    for row in body:
        invoice, code, description, quantity, _, price, customer, country = row
        sheet.append([invoice, code, description, int(quantity), _time_of(row, 1), float(price), customer, country])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def memory_of_a_large_file(stack: Stack, data: Path, table: Table) -> None:
    """5.4 million rows: the largest process while the file is landed, and while its batches are cleaned."""
    observer = Observer.of(stack)
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "ten_times.csv.gz"
        with gzip.open(data, "rt", newline="") as source, gzip.open(large, "wt", 1, newline="") as target:
            header, *rows = csv.reader(source)
            writer = csv.writer(target)
            writer.writerow(header)
            for _ in range(10):
                writer.writerows(rows)
        observer.s3.upload_file(str(large), observer.bucket, f"landing/{FEED}/ten_times.csv.gz")
    for step in ("land", "clean"):
        started, cpu, peak = time.monotonic(), _cpu_of_children(), 0
        command = [sys.executable, "-m", "benchmarks.lake", "--step", step]
        process = psutil.Popen(command, env=os.environ | stack.user_environment())
        while process.poll() is None:
            peak = max(peak, process.memory_info().rss)
            time.sleep(SAMPLE_SECONDS)
        assert process.returncode == 0
        seconds, cpu = time.monotonic() - started, _cpu_of_children() - cpu
        table.add_row(
            f"5.4 million rows, {step}: seconds, of a processor, peak memory",
            f"{seconds:.0f} s, {cpu:.0f} s, {peak / 1e6:,.0f} MB",
        )


def _cpu_of_children() -> float:
    """Returns the seconds of a processor of the processes that ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _step(step: str) -> None:
    """Runs in a process of its own, for its memory."""
    import boto3
    from ecommerce_elt.batches import manifests
    from ecommerce_elt.cleaning import cleaner
    from ecommerce_elt.feeds.contracts import load_contracts
    from ecommerce_elt.landing import conversion
    from ecommerce_elt.readers.flags import Flags
    from ecommerce_elt.settings import settings

    s3, config = boto3.client("s3"), settings()
    done = Path(tempfile.gettempdir()) / "benchmark-landed.json"
    if step == "land":
        key = f"landing/{FEED}/ten_times.csv.gz"
        landed = conversion.land_file(s3, key, load_contracts(config.include_dir / "feeds"), Flags(), config)
        assert landed.rows == 5_419_090
        done.write_text(json.dumps(landed.batches))
        return
    for batch_id in json.loads(done.read_text()):
        cleaner.clean_batch(s3, manifests.read_manifest(s3, config.bucket, batch_id), config)
    done.unlink()


def _micro_batches(stack: Stack, data: Path) -> None:
    """Loads and publishes the file in SHARES batches, each with rows of every day."""
    environment = os.environ | stack.user_environment()
    command = [sys.executable, "-m", "benchmarks.lake", "--step", "shares", "--data", str(data)]
    subprocess.run(command, env=environment, check=True)


def _load_shares(data: Path) -> None:
    from datetime import UTC, datetime

    import boto3
    from ecommerce_elt.batches.manifests import RawObject, new_manifest
    from ecommerce_elt.cleaning import cleaner
    from ecommerce_elt.feeds.contracts import load_contracts
    from ecommerce_elt.feeds.events import envelope, event_ids
    from ecommerce_elt.lake.publish import publish_batch
    from ecommerce_elt.load import transaction as load_transaction
    from ecommerce_elt.readers.flags import Flags
    from ecommerce_elt.readers.tabular import TabularFile
    from ecommerce_elt.settings import settings
    from ecommerce_elt.warehouse import redshift

    config = settings()
    file = TabularFile(data, load_contracts(config.include_dir / "feeds")[FEED], Flags())
    survey = file.survey()
    identify, rows = event_ids(survey.data_set), list(file.rows(survey))
    s3, target = boto3.client("s3"), redshift.warehouse(boto3.client("redshift-data"), config)
    for share in range(SHARES):
        lines = (
            envelope(event_id=identify(r.line), feed=FEED, version=1, event_time=r.event_time, sent_at="", data=r.data)
            for r in itertools.islice(rows, share, None, SHARES)
        )
        body = gzip.compress(b"\n".join(lines) + b"\n", 1)
        key = f"raw/feed={FEED}/dt=2026-01-01/hour=00/share-{share:02}.ndjson.gz"
        etag = s3.put_object(Bucket=config.bucket, Key=key, Body=body)["ETag"].strip('"')
        manifest = new_manifest(FEED, [RawObject(key, etag, len(body), config.bucket)], datetime.now(UTC))
        batch = cleaner.clean_batch(s3, manifest, config)
        load_transaction.load_batch(target, batch, config)
        publish_batch(s3, target, batch, config, overlaps=False, again=False)


def _crawl(glue: Any) -> tuple[float, int]:
    """Returns (seconds, objects)."""
    glue.start_crawler(Name="ecommerce-clean")
    wait_for(lambda: glue.get_crawler(Name="ecommerce-clean")["Crawler"]["State"] == "READY", 300, "the crawl", 0.1)
    last = glue.list_crawls(CrawlerName="ecommerce-clean")["Crawls"][0]
    seconds = (last["EndTime"] - last["StartTime"]).total_seconds()
    return seconds, json.loads(last["Summary"])["OBJECTS"]


def _query(athena: Any, where: str) -> tuple[float, int]:
    """Returns (seconds in Athena, bytes read), of the second of two runs."""
    for _ in range(2):
        query_id = athena.start_query_execution(
            QueryString=f"SELECT COUNT(*), SUM(amount) FROM {FEED} WHERE {where}",
            WorkGroup="ecommerce",
            QueryExecutionContext={"Database": "ecommerce_lake"},
        )["QueryExecutionId"]

        def ended(query_id: str = query_id) -> Any:
            found = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            return found if found["Status"]["State"] in {"SUCCEEDED", "FAILED"} else None

        wait_for(ended, 300, "the query", 0.05)
    statistics = ended()["Statistics"]
    return statistics["TotalExecutionTimeInMillis"] / 1000, statistics["DataScannedInBytes"]


def compaction(stack: Stack, data: Path, table: Table) -> None:
    glue, athena = stack.client("glue"), stack.client("athena")
    _micro_batches(stack, data)
    queries = {"a day": "dt = '2011-11-14'", "a year": "dt BETWEEN '2010-12-09' AND '2011-12-09'"}

    def lake_step(step: str) -> float:
        started = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.lake", "--step", step]
        subprocess.run(command, env=os.environ | stack.user_environment(), check=True)
        return time.monotonic() - started

    seconds, objects = _crawl(glue)
    table.add_row(f"crawl of {objects:,} objects", f"{seconds:.1f} s, {1000 * seconds / objects:.1f} ms an object")
    lake_step("tables")
    before = {name: _query(athena, where) for name, where in queries.items()}
    table.add_row(f"compaction of {objects:,} files", f"{lake_step('compact'):.0f} s")
    after = {name: _query(athena, where) for name, where in queries.items()}
    for name in queries:
        (slow, many), (fast, few) = before[name], after[name]
        table.add_row(
            f"query over {name}, before and after compaction",
            f"{slow:.2f} s, {fast:.2f} s: {slow / fast:.1f} x; read {many / 1e6:.2f} MB, {few / 1e6:.2f} MB",
        )
    seconds, objects = _crawl(glue)
    table.add_row(f"crawl of {objects:,} objects", f"{seconds:.1f} s, {1000 * seconds / objects:.1f} ms an object")


def _lake_step(step: str) -> None:
    import boto3
    from ecommerce_elt.lake import compact, retention
    from ecommerce_elt.lake.catalog import publish_tables
    from ecommerce_elt.settings import settings

    s3, config = boto3.client("s3"), settings().model_copy(update={"lake_grace_hours": 0.0})
    if step == "tables":
        publish_tables(boto3.client("glue"), s3, [FEED], config)
        return
    compact.compact_feed(s3, FEED, config)
    retention.remove_superseded(s3, config)


def main(
    data: Annotated[Path | None, typer.Option(help="UCI Online Retail as CSV.gz.")] = None,
    only: Annotated[str, typer.Option(help="landing, memory_of_a_large_file or compaction.")] = "",
    step: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    if step == "shares" and data:
        _load_shares(data)
    elif step in {"land", "clean"}:
        _step(step)
    elif step:
        _lake_step(step)
    elif data:
        table = Table("the lake", "measured", title_justify="left")
        parts = ((landing, True), (memory_of_a_large_file, False), (compaction, False))
        for part, airflow in (p for p in parts if only in {"", p[0].__name__}):
            with stacks.started(airflow=airflow) as stack:
                part(stack, data.resolve(), table)
        console.print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}", highlight=False)
        console.print(table)
    else:
        raise typer.BadParameter("--data is missing")


if __name__ == "__main__":
    typer.run(main)
