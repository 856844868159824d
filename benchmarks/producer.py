"""Reading and sending: `python -m benchmarks.producer --data online_retail.csv.gz`.

A landed CSV and workbook against the bare parsers, and `producer replay` against a bare PutRecords loop on the same stream,
all in one run. S3 is a dictionary, and Kinesis a process that answers each request at once: what is left is the product's
own time.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

FEED = "online_retail"
WORKBOOK_ROWS = 525_461
console = Console(width=120)


class Bucket:
    """What `land_file` asks of S3, in memory."""

    class exceptions:  # noqa: N801  # as boto3's client
        ClientError = KeyError

    def __init__(self, key: str, body: bytes) -> None:
        self.objects = {key: body}

    def head_object(self, **asked: str) -> dict[str, Any]:
        return {
            "ETag": hashlib.md5(self.objects[asked["Key"]]).hexdigest(),
            "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
        }

    def get_object(self, **asked: str) -> dict[str, Any]:
        from botocore.response import StreamingBody

        body = self.objects[asked["Key"]]
        return {"Body": StreamingBody(io.BytesIO(body), len(body))}

    def put_object(self, **put: Any) -> dict[str, Any]:
        self.objects[put["Key"]] = put["Body"]
        return {"ETag": hashlib.md5(put["Body"]).hexdigest()}


def land(path: Path) -> int:
    from ecommerce_elt.feeds.contracts import load_contracts
    from ecommerce_elt.landing.conversion import land_file
    from ecommerce_elt.readers.flags import Flags
    from ecommerce_elt.settings import PROJECT_DIR, settings

    key = f"landing/{FEED}/{path.name}"
    contracts = load_contracts(PROJECT_DIR / "include/feeds")
    return land_file(Bucket(key, path.read_bytes()), key, contracts, Flags(), settings()).rows


def bare_csv(path: Path) -> int:
    with gzip.open(path, "rt", newline="") as text:
        return sum(1 for _ in csv.reader(text)) - 1


def bare_duckdb(path: Path) -> int:
    import duckdb

    with duckdb.connect(config={"threads": 2}) as engine:
        return len(engine.read_csv(str(path), all_varchar=True).to_arrow_table())


def bare_calamine(path: Path) -> int:
    from python_calamine import CalamineWorkbook

    return sum(1 for _ in CalamineWorkbook.from_path(path).get_sheet_by_index(0).iter_rows()) - 1


def write_workbook(data: Path, path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Year 2010-2011")
    with gzip.open(data, "rt", newline="") as text:
        rows = csv.reader(text)
        sheet.append(next(rows))
        for (invoice, stock, name, quantity, moment, price, customer, country), _ in zip(
            rows, range(WORKBOOK_ROWS), strict=False
        ):
            date = datetime.strptime(moment, "%m/%d/%Y %H:%M")  # a workbook's dates have no zone
            number = int(customer) if customer else None
            sheet.append([invoice, stock, name, int(quantity), date, float(price), number, country])
    book.save(path)


def reading(title: str, path: Path, measured: list[Callable[[Path], int]]) -> Table:
    """Times each twice, and takes the second: the first warms the disk cache and the imports. The first is the measure."""
    table = Table(title, "rows", "seconds", f"x {measured[0].__name__}", "seconds of CPU", title_justify="left")
    first = 0.0
    for each in measured:
        for _ in range(2):
            started, started_cpu = time.monotonic(), time.process_time()
            rows = each(path)
            seconds, cpu = time.monotonic() - started, time.process_time() - started_cpu
        first = first or seconds
        table.add_row(each.__name__, f"{rows:,}", f"{seconds:.2f}", f"{seconds / first:.1f}", f"{cpu:.2f}")
    return table


class Stream(BaseHTTPRequestHandler):
    """Answers PutRecords: it counts the records of a request, and accepts them."""

    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # an answer is one packet, at once

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["X-Amz-Target"].endswith("PutRecords"):
            count = body.count(b'"PartitionKey"')
            accepted = b'{"SequenceNumber":"1","ShardId":"shardId-000000000000"}'
            answer = b'{"FailedRecordCount":0,"Records":[' + b",".join([accepted] * count) + b"]}"
        else:
            answer = b"{}"
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def serve() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # until the benchmark ends


def bare_loop(data: Path, url: str) -> float:
    """Returns events a second of a loop that puts full requests that are made, one after the other."""
    import boto3
    from ecommerce_elt.feeds.contracts import load_contracts
    from ecommerce_elt.feeds.events import envelope, event_ids
    from ecommerce_elt.readers.flags import Flags
    from ecommerce_elt.readers.tabular import TabularFile
    from ecommerce_elt.settings import PROJECT_DIR

    source = TabularFile(data, load_contracts(PROJECT_DIR / "include/feeds")[FEED], Flags())
    identify = event_ids("benchmark")
    entries = [
        {
            "Data": envelope(
                event_id=identify(row.line),
                feed=FEED,
                version=1,
                event_time=row.event_time,
                sent_at="2026-01-01T00:00:00.000Z",
                data=row.data,
            ),
            "PartitionKey": f"{row.line:032d}",
        }
        for row, _ in zip(source.rows(source.survey()), range(200_000), strict=False)
    ]
    client = boto3.client("kinesis", endpoint_url=url)
    started = time.monotonic()
    for start in range(0, len(entries), 500):
        client.put_records(StreamName="stream", Records=entries[start : start + 500])
    return len(entries) / (time.monotonic() - started)


def sending(data: Path) -> Table:
    command = [sys.executable, "-m", "benchmarks.producer"]
    env = os.environ | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    table = Table("sending the whole file", "events/s", "share of the bare loop", title_justify="left")
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [*command, "--step", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as stub,
    ):
        assert stub.stdout
        url, report = f"http://127.0.0.1:{int(stub.stdout.readline())}", Path(folder) / "report.json"
        step = [*command, "--step", "bare_loop", "--data", str(data), "--url", url]
        replay = [
            sys.executable,
            "-m",
            "producer",
            "replay",
            str(data),
            "--endpoint-url",
            url,
            "--report-file",
            str(report),
        ]
        bare, ours = [], []
        for _ in range(2):  # in turn: what else the machine does meets both
            bare.append(float(subprocess.run(step, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout))
            subprocess.run(replay, env=env, check=True, capture_output=True)
            sent = json.loads(report.read_text())
            ours.append(sum(sent["sent"].values()) / sent["seconds"])
        assert stub.stdin
        stub.stdin.close()
    table.add_row("bare PutRecords loop, of requests made before", f"{max(bare):,.0f}", "1.00")
    table.add_row("producer replay, first put to last", f"{max(ours):,.0f}", f"{max(ours) / max(bare):.2f}")
    return table


def main(
    data: Annotated[Path | None, typer.Option(help="UCI Online Retail as CSV.gz.")] = None,
    only: Annotated[str, typer.Option(help="csv, xlsx or replay.")] = "",
    step: Annotated[str, typer.Option(hidden=True)] = "",
    url: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    os.environ.setdefault("ECOMMERCE_BUCKET", "benchmark")
    os.environ.setdefault("ECOMMERCE_PII_HMAC_KEY", "a key for the benchmark")
    if step == "serve":
        serve()
        return
    if not data:
        raise typer.BadParameter("give --data", param_hint="--data")
    if step == "bare_loop":
        print(bare_loop(data, url))
        return
    data = data.resolve()
    console.print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}", highlight=False)
    if only in {"", "csv"}:
        console.print(reading("CSV, the whole file", data, [bare_csv, bare_duckdb, land]))
    if only in {"", "replay"}:
        console.print(sending(data))
    if only in {"", "xlsx"}:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "whole.xlsx"
            write_workbook(data, path)
            console.print(reading(f"xlsx, {path.stat().st_size / 1e6:.0f} MB", path, [bare_calamine, land]))


if __name__ == "__main__":
    typer.run(main)
