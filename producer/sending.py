"""Sending at a pace, to Kinesis or to the HTTP API, until all is sent or the user stops it."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import boto3
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_elt.batches.manifests import UNREADABLE
from ecommerce_elt.errors import PermanentError, TransientError, without_values

from producer.console import fail, print_report, progress
from producer.http import HttpSink
from producer.kinesis import REQUEST_MAX_RECORDS, KinesisSink
from producer.sink import Record, Report, Sink


class Target(StrEnum):
    KINESIS = "kinesis"
    HTTP = "http"


PACING_SECONDS = 0.005  # shorter waits are not worth a system call


def _paced(records: Iterator[Record], rate: float | None, stopped: threading.Event) -> Iterator[Record]:
    """Yields the records, at most `rate` per second, until `stopped` is set."""
    if not rate:
        yield from itertools.takewhile(lambda _: not stopped.is_set(), records)
        return
    started = time.monotonic()
    for number, record in enumerate(records):
        ahead = number / rate - (time.monotonic() - started)
        if stopped.wait(ahead) if ahead > PACING_SECONDS else stopped.is_set():
            return
        yield record


def _client(stream: str, endpoint_url: str | None, in_flight: int) -> Any:
    """Returns a Kinesis client after a check that the stream exists, before a large file is read."""
    try:
        session = boto3.session.Session()
        asking = Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=5)
        session.client("kinesis", endpoint_url=endpoint_url, config=asking).describe_stream_summary(StreamName=stream)
        sending = Config(
            max_pool_connections=in_flight + 1,
            retries={"mode": "standard", "max_attempts": 10},
            parameter_validation=False,
        )  # no validation: the sink builds the requests itself, record by record
        return session.client("kinesis", endpoint_url=endpoint_url, config=sending)
    except (BotoCoreError, ClientError) as error:
        fail(f'stream {stream}: {without_values(error)}. For the local cloud: make up, then eval "$(make -s env)"')


OpenSink = Callable[[Callable[[int], None]], Sink]


def open_sink_of(
    target: Target,
    *,
    stream: str,
    endpoint_url: str | None,
    url: str,
    api_key: str,
    in_flight: int,
    correcting: bool = False,
) -> OpenSink:
    """Returns a function that opens the sink, after a check that the sink responds, before a large file is read."""
    if target is Target.KINESIS:
        client = _client(stream, endpoint_url, in_flight)
        return lambda on_sent: KinesisSink(client, stream, in_flight=in_flight, on_sent=on_sent)
    if not url:
        fail('--sink http: --url is missing. For the local cloud: make up, then eval "$(make -s env)"')
    try:
        with HttpSink(url, api_key) as sink:
            sink.check(correcting=correcting)
    except PermanentError as error:
        fail(error)
    return lambda on_sent: HttpSink(url, api_key, alone=frozenset({UNREADABLE}), in_flight=in_flight, on_sent=on_sent)


def send(
    records: Iterator[Record],
    total: int | None,
    *,
    open_sink: OpenSink,
    rate: float | None,
    report_file: Path | None,
    what: str,
    may_be_refused: bool,
) -> None:
    stopped = threading.Event()  # once it is set, the queue is flushed and the report printed
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, frame: stopped.set())
    report = Report()
    try:
        with progress(what, total) as advance, open_sink(advance) as sink:
            report = sink.report
            for record in _paced(records, rate, stopped):
                sink.put(record)
                if rate and rate < REQUEST_MAX_RECORDS:
                    sink.flush()  # at a low rate, an event does not wait until its request is full
    except (PermanentError, TransientError, ClientError, BotoCoreError) as error:
        print_report(report, report_file, finished=False)
        fail(error)
    print_report(report, report_file, finished=not stopped.is_set())
    if stopped.is_set():
        raise typer.Exit(130)
    if report.refused and not may_be_refused:
        fail(f"{sum(report.refused.values()):,} events were refused; they are in no layer")
