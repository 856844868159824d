"""Measures the ways beside the main job: the stream's Lambdas without a cloud, dynamodb_writer alone, and the HTTP API.

`python -m benchmarks.streams --data FILE` measures the first, as ratios to bare loops over the same records.
"""

from __future__ import annotations

import base64
import gzip
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import boto3
import httpx
import typer
from rich.console import Console
from rich.table import Table

from local.observer import Observer
from local.stack import PROJECT_DIR, Stack

LINES = 100_000
PROCESSES = 2
BATCH = 5000
REQUESTS = 300
FEED = "online_retail"
ROUNDS = 5


def _records(data: Path, part: int) -> list[dict]:
    """Returns a share of the file's first lines as a mapping hands them over."""
    from ecommerce_elt.feeds.contracts import load_contracts
    from ecommerce_elt.feeds.events import envelope
    from ecommerce_elt.readers.flags import Flags
    from ecommerce_elt.readers.tabular import TabularFile

    source = TabularFile(data, load_contracts(PROJECT_DIR / "include/feeds")[FEED], Flags())
    rows = itertools.islice(source.rows(source.survey()), LINES)
    share = LINES // PROCESSES

    def record(number: int, event_time: str | None, values: dict[str, str]) -> dict:
        payload = envelope(
            event_id=str(uuid.uuid4()), feed=FEED, version=1, event_time=event_time, sent_at="", data=values
        )
        kinesis = {"sequenceNumber": str(number), "partitionKey": "k", "approximateArrivalTimestamp": 1.0}
        return {
            "eventID": f"shardId-000000000000:{number}",
            "kinesis": kinesis | {"data": base64.b64encode(payload).decode()},
        }

    taken = itertools.islice(enumerate(rows), part * share, (part + 1) * share)
    return [record(number, row.event_time, row.data) for number, row in taken]


@contextmanager
def _layer() -> Iterator[None]:
    """The shared layer as it is packaged lies on the path."""
    from infra.packages import package_layer

    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(package_layer()[1])) as archive:
            archive.extractall(folder)
        sys.path.insert(0, f"{folder}/python")
        yield


def write_a_share(data: Path, part: int) -> float:
    """Runs the handler of dynamodb_writer on a share of the lines, and returns the seconds that it took."""
    with _layer():
        from lambdas.dynamodb_writer import handler as module

        records = _records(data, part)
        input()  # until all have read their share
        started = time.monotonic()
        for start in range(0, len(records), BATCH):
            answer = module.handler({"Records": records[start : start + BATCH]}, None)
            assert answer == {"batchItemFailures": []}, answer
        return time.monotonic() - started


def lambdas_against_bare_loops(data: Path) -> Table:
    """Returns the processor time of each Lambda's work on a batch of the stream, against a loop without any rule.

    The loops read the records and write as many objects, rows or items; both sides in turn in this process, the best of
    ROUNDS counts, so that a busy machine does not. Nothing is sent: the local cloud's own cost is no part of it.
    """
    records = _records(data, 0)[: BATCH * 2]
    payloads = [base64.b64decode(record["kinesis"]["data"]) for record in records]

    def decoded() -> list[bytes]:
        return [base64.b64decode(record["kinesis"]["data"]) for record in records]

    def bare_rows() -> list[str]:
        rows = [json.dumps(json.loads(payload)["data"]).encode() for payload in decoded()]
        return [base64.b64encode(row).decode() for row in rows]

    def bare_items() -> list[str]:
        return [
            json.dumps(
                {"Put": {"TableName": "t", "Item": {k: {"S": v} for k, v in json.loads(payload)["data"].items()}}}
            )
            for payload in decoded()
        ]

    with _layer():
        from ecommerce_events.memory import collect_seldom

        from lambdas.dynamodb_writer import logic as writer
        from lambdas.firehose_transform import logic as transform
        from lambdas.raw_writer import logic as raw

        collect_seldom()  # as every handler does

        def rows() -> list[str]:
            event = {"approximateArrivalTimestamp": 1000}
            found = [transform.transformed(event, payload)[1] for payload in decoded()]
            return [base64.b64encode(row).decode() for row in found]

        def items() -> list[str]:
            lines, _ = writer.lines_of(records)
            parts = [lines[i : i + 85] for i in range(0, len(lines), 85)]
            return [
                json.dumps({"Put": {"TableName": "t", "Item": write.item}})
                for part in parts
                for write in writer.writes_of(part, {}, 0)
            ]

        rivals: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "raw_writer": (lambda: raw.files_of(records), lambda: gzip.compress(b"\n".join(decoded()), 1)),
            "firehose_transform": (rows, bare_rows),
            "dynamodb_writer": (items, bare_items),
        }
        table = Table("Lambdas' work, no calls", "µs a record", "bare loop", "x bare loop", title_justify="left")
        for name, pair in rivals.items():
            best = [float("inf"), float("inf")]
            for _ in range(ROUNDS):
                for side, work in enumerate(pair):
                    began = time.process_time()
                    work()
                    best[side] = min(best[side], time.process_time() - began)
            ours, bare = (1e6 * seconds / len(payloads) for seconds in best)
            table.add_row(name, f"{ours:.1f}", f"{bare:.1f}", f"{ours / bare:.1f}")
    return table


def writer_rate(stack: Stack, data: Path) -> float:
    """Returns invoice lines a second into empty tables, with one process a shard, as the local cloud has two."""
    client = boto3.client(
        "dynamodb",
        endpoint_url=stack.url("dynamodb"),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    names = {"INVOICES_TABLE": ("InvoiceNo", "StockCode"), "CUSTOMERS_TABLE": ("CustomerID", "InvoiceNo")}
    tables = {variable: f"bench-{uuid.uuid4().hex[:8]}" for variable in names}
    for variable, (partition, sort) in names.items():
        client.create_table(
            TableName=tables[variable],
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in (partition, sort)],
        )
    env = os.environ | stack.user_environment() | tables | {"RETENTION_DAYS": "0", "THREADS": "8"}
    command = [sys.executable, "-m", "benchmarks", "--measure", "write_a_share", "--data", str(data), "--part"]
    writers = [
        subprocess.Popen([*command, str(part)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for part in range(PROCESSES)
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("\n")
        writer.stdin.flush()
    seconds = max(float(writer.communicate(timeout=300)[0]) for writer in writers)
    for name in tables.values():
        client.delete_table(TableName=name)
    return LINES / seconds


def api(stack: Stack) -> Table:
    """Returns p50 and p95 of each route, one request at a time, on what the tables hold."""
    env = stack.user_environment()
    items = Observer.of(stack).dynamodb.scan(TableName="ecommerce-invoices", Limit=REQUESTS)["Items"]
    customers = {item["CustomerID"]["S"] for item in items}
    event = {
        "feed": "product_events",
        "data": {"event_time": "2026-01-02T03:04:05Z", "product_id": "P", "quantity": 1, "price": "1"},
    }
    calls = {
        "POST /events, one event": [("POST", "/events", event)] * REQUESTS,
        "POST /events, 500 events": [("POST", "/events", [event] * 500)] * 20,
        "GET /invoices/{InvoiceNo}": [("GET", f"/invoices/{i['InvoiceNo']['S']}", None) for i in items],
        "GET .../items/{StockCode}": [
            ("GET", f"/invoices/{i['InvoiceNo']['S']}/items/{i['StockCode']['S']}", None) for i in items
        ],
        "GET /customers/{CustomerID}/invoices": [("GET", f"/customers/{c}/invoices", None) for c in customers],
    }
    table = Table("HTTP API, one request at a time", "p50 ms", "p95 ms", "requests", title_justify="left")
    with httpx.Client(
        base_url=env["ECOMMERCE_API_URL"], headers={"x-api-key": env["ECOMMERCE_API_KEY"]}, timeout=35
    ) as client:
        for name, requests in calls.items():
            delays = []
            for method, path, body in [requests[0], *requests]:  # the first is a cold start
                started = time.monotonic()
                answer = client.request(method, path, json=body)
                delays.append((time.monotonic() - started) * 1000)
                assert answer.status_code in {200, 202}, (path, answer.text)
            quantiles = statistics.quantiles(delays[1:], n=20)
            table.add_row(name, f"{statistics.median(delays[1:]):.0f}", f"{quantiles[-1]:.0f}", str(len(requests)))
    return table


def main(data: Annotated[Path, typer.Option(help="UCI Online Retail as CSV or CSV.gz.")]) -> None:
    os.environ.setdefault("ECOMMERCE_BUCKET", "benchmark")
    os.environ.setdefault("ECOMMERCE_PII_HMAC_KEY", "a key for the benchmark")
    Console(width=110).print(lambdas_against_bare_loops(data.resolve()))


if __name__ == "__main__":
    typer.run(main)
