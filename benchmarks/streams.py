"""Measures the ways beside the main job: dynamodb_writer alone, and the HTTP API."""

from __future__ import annotations

import base64
import importlib.util
import io
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from pathlib import Path

import boto3
import httpx
from rich.table import Table

from local.demo import Observer
from local.stack import PROJECT_DIR, Stack

LINES = 100_000
PROCESSES = 2
BATCH = 5000
REQUESTS = 300
FEED = "online_retail"


def _records(data: Path, part: int) -> list[dict]:
    """Returns a share of the file's first lines as a mapping hands them over."""
    from ecommerce_elt.events import envelope
    from ecommerce_elt.feeds import load_contracts
    from ecommerce_elt.tabular import Flags, TabularFile

    source = TabularFile(data, load_contracts(PROJECT_DIR / "include/feeds")[FEED], Flags())
    rows = itertools.islice(source.rows(source.survey()), LINES)
    share = LINES // PROCESSES
    return [
        {"kinesis": {"sequenceNumber": str(i), "partitionKey": "k", "approximateArrivalTimestamp": 1.0, "data": base64.b64encode(
            envelope(event_id=str(uuid.uuid4()), feed=FEED, version=1, event_time=row.event_time, sent_at="", data=row.data)
        ).decode()}}
        for i, row in enumerate(rows) if part * share <= i < (part + 1) * share
    ]  # fmt: skip


def write_a_share(data: Path, part: int) -> float:
    """Runs the handler of dynamodb_writer on a share of the lines, and returns the seconds that it took."""
    from infra.deploy import package_layer

    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(package_layer()[1])) as archive:
            archive.extractall(folder)
        sys.path[:0] = [f"{folder}/python", str(PROJECT_DIR / "lambdas/dynamodb_writer")]
        spec = importlib.util.spec_from_file_location("handler", PROJECT_DIR / "lambdas/dynamodb_writer/handler.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        records = _records(data, part)
        input()  # until all have read their share
        started = time.monotonic()
        for start in range(0, len(records), BATCH):
            answer = module.handler({"Records": records[start : start + BATCH]}, None)
            assert answer == {"batchItemFailures": []}, answer
        return time.monotonic() - started


def writer_rate(stack: Stack, data: Path) -> float:
    """Returns invoice lines a second into empty tables, with one process a shard, as the local cloud has two."""
    client = boto3.client("dynamodb", endpoint_url=stack.dynamodb_url, region_name="us-east-1",
                          aws_access_key_id="test", aws_secret_access_key="test")  # fmt: skip
    names = {"INVOICES_TABLE": ("InvoiceNo", "StockCode"), "CUSTOMERS_TABLE": ("CustomerID", "InvoiceNo")}
    tables = {variable: f"bench-{uuid.uuid4().hex[:8]}" for variable in names}
    for variable, (partition, sort) in names.items():
        client.create_table(
            TableName=tables[variable], BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in (partition, sort)],
        )  # fmt: skip
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
        "GET .../items/{StockCode}": [("GET", f"/invoices/{i['InvoiceNo']['S']}/items/{i['StockCode']['S']}", None) for i in items],
        "GET /customers/{CustomerID}/invoices": [("GET", f"/customers/{c}/invoices", None) for c in customers],
    }  # fmt: skip
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
