"""What one run of load_events does, in a process of its own that can be told at which AWS call to die, stop or fail.

Reads one order a line from stdin, forks for each, and answers with how it ended. The steps are those of the DAG; only
what Airflow gives them is left out: links, connections, and the memory of alerts.

    {"at": 7, "how": "kill_before" | "kill_after" | "stop" | "fail", "of": "calls" | "writes", "times": 2, "service": "s3",
     "clock_seconds": 0, "file_bytes": 0}
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
from airflow.sdk.exceptions import AirflowSkipException
from botocore.awsrequest import AWSResponse
from ecommerce_elt.airflow import alerts
from ecommerce_elt.airflow import clients as airflow_clients
from ecommerce_elt.batches import manifests
from ecommerce_elt.cleaning import task_cleaning
from ecommerce_elt.load import batch_load
from ecommerce_elt.load import tasks as load_tasks

SLOW_SECONDS = 0.5
READS = ("Get", "List", "Head", "Describe")
CLIENTS = {}  # made once, before the forks: a session reads botocore's data, and a client takes its time


class Raw:
    """The body of an answer that S3 never gave."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def stream(self, *args, **kwargs):
        yield self.body

    def read(self, *args, **kwargs):
        body, self.body = self.body, b""
        return body


class Faults:
    """Counts the AWS calls of the process, and does at one of them what the order says."""

    def __init__(self, order: dict, log: Path) -> None:
        self.order, self.log, self.count, self.lock = order, log, 0, threading.Lock()
        self.failed = 0


def client_with(faults: Faults):
    made = {}

    def client(service):
        if service not in made:
            made[service] = faulty(CLIENTS[service], service, faults)
        return made[service]

    return client


def is_write(operation: str, params: dict) -> bool:
    """Whether the call changes what another process sees."""
    return not operation.startswith(READS) and not params.get("Sql", "").lstrip().upper().startswith("SELECT")


def faulty(client, service, faults):
    """Registers the faults with the client's own events: botocore's retries see them as they see the network."""
    call = client._make_api_call

    def counted(operation, params):
        write = is_write(operation, params)
        counts = write or faults.order.get("of", "calls") == "calls"
        with faults.lock:
            number, faults.count = faults.count, faults.count + counts
            with faults.log.open("a") as log:
                log.write(f"{service}.{operation} {'write' if write else 'read'}\n")
        here, how = counts and number == faults.order.get("at"), faults.order.get("how")
        if here and how == "kill_before":
            os.kill(os.getpid(), signal.SIGKILL)
        if here and how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        answer = call(operation, params)
        if here and how == "kill_after":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    client._make_api_call = counted
    if faults.order.get("how") == "fail" and faults.order["service"] == service:

        def refuse(request, **_):
            with faults.lock:
                faults.failed += 1
                turn = faults.failed % faults.order["times"]
            if turn == 1 % faults.order["times"]:  # of one, each
                code = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
                return AWSResponse(request.url, 503, {}, Raw(code))
            if turn == 2:
                time.sleep(SLOW_SECONDS)
            return None

        client.meta.events.register("before-send", refuse)
    return client


def load(order: dict, log: Path) -> None:
    faults = Faults(order, log)
    task_cleaning.client = load_tasks.client = batch_load.client = airflow_clients.client = client_with(faults)
    task_cleaning.lineage.moved = lambda *_: None
    batch_load.touched_object = batch_load.touched_table = airflow_clients.touched_statement = lambda *_: None
    alerts.begins, alerts.mark_open, alerts.ends = (lambda cause: True), (lambda cause: None), (lambda cause: None)
    if jump := order.get("clock_seconds"):

        class Jumped(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz or UTC) + timedelta(seconds=jump)

        manifests.datetime = Jumped
    if size := order.get("file_bytes"):  # the disk is full
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    for batch_id in order.get("batches") or claimed():
        batch_load.load_batch(batch_id)


def claimed() -> list[str]:
    try:
        return load_tasks.claim_batches.function()
    except AirflowSkipException:
        return []


def warm_up() -> None:
    """Makes and imports what each run would anew, which costs more than all the rest of it."""
    for service in ("s3", "sqs", "sns", "redshift-data"):
        CLIENTS[service] = boto3.client(service)
    for module in ("duckdb", "pandas", "pyarrow.dataset", "pyarrow.parquet", "sqlglot.dialects.duckdb"):
        importlib.import_module(module)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # logs are none
    warm_up()
    for text in sys.stdin:
        order = json.loads(text)
        log, errors = Path(order["log"]), Path(order["errors"])
        log.write_text("")
        errors.write_text("")
        child = os.fork()
        if child == 0:
            try:
                load(order, log)
            except BaseException:
                errors.write_text(traceback.format_exc())
                os._exit(1)
            os._exit(0)
        print(json.dumps({"pid": child}), file=answers, flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), file=answers, flush=True)


if __name__ == "__main__":
    main()
