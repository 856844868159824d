"""The producer's command line: `python -m producer --help`."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Annotated, Any, NoReturn

import boto3
import orjson
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_elt import aws_names
from ecommerce_elt.batches.manifests import UNREADABLE
from ecommerce_elt.errors import PermanentError, TransientError, values_withheld, without_values
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.feeds.events import Envelopes, envelope, event_ids
from ecommerce_elt.landing.blocks import BLOCK_ROWS
from ecommerce_elt.landing.flags import Flags
from ecommerce_elt.landing.identity import FileIdentity
from ecommerce_elt.landing.readings import Reading, read_files
from ecommerce_elt.settings import PROJECT_DIR
from more_itertools import interleave_longest
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from producer.http import HttpSink
from producer.kinesis import REQUEST_MAX_RECORDS, KinesisSink
from producer.simulate import SHOPS, simulated
from producer.sink import Record, Report, Sink

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
err = Console(stderr=True)

SIMULATED_EVENTS = 1000
LINES_SHOWN = 5  # number of lines to list for each kind of skipped row


class Identity(StrEnum):
    FILE = "file"
    ROWS = "rows"


class Target(StrEnum):
    KINESIS = "kinesis"
    HTTP = "http"


PACING_SECONDS = 0.005  # shorter waits are not worth a system call
PLAIN_PROGRESS_SECONDS = 5.0  # time between progress lines if the output is not a terminal

Endpoint = Annotated[str | None, typer.Option(help="Endpoint of Kinesis. By default boto3's own variables, or AWS.")]
STREAM = aws_names.stream()
Stream = Annotated[str, typer.Option(envvar="ECOMMERCE_STREAM", help="Name of the Kinesis stream.")]
SinkKind = Annotated[Target, typer.Option("--sink", help="Where to send: Kinesis, or the HTTP API in front of it.")]
Url = Annotated[str, typer.Option(envvar="ECOMMERCE_API_URL", help="URL of the HTTP API, without /events.")]
ApiKey = Annotated[
    str,
    typer.Option(
        envvar="ECOMMERCE_API_KEY",
        help="Key of the HTTP API. --event-version needs a key with the right to correct.",
        show_default=False,
    ),
]
InFlight = Annotated[int, typer.Option(min=1, max=64, help="Number of concurrent requests.")]
Rate = Annotated[float | None, typer.Option(min=0.001, help="Maximum number of events a second.")]
ReportFile = Annotated[Path | None, typer.Option(help="Also write the report here, as JSON.")]


def _fail(message: object) -> NoReturn:
    said = without_values(message) if isinstance(message, BaseException) else message
    err.print(f"[red]producer:[/] {said}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _contract(feed: str) -> Contract:
    contracts = load_contracts(PROJECT_DIR / "include" / "feeds")
    if feed not in contracts:
        _fail(f"no feed {feed!r}; there are {', '.join(contracts)}")
    return contracts[feed]


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
        _fail(f'stream {stream}: {without_values(error)}. For the local cloud: make up, then eval "$(make -s env)"')


OpenSink = Callable[[Callable[[int], None]], Sink]


def _sink(
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
        _fail('--sink http: --url is missing. For the local cloud: make up, then eval "$(make -s env)"')
    try:
        with HttpSink(url, api_key) as sink:
            sink.check(correcting=correcting)
    except PermanentError as error:
        _fail(error)
    return lambda on_sent: HttpSink(url, api_key, alone=frozenset({UNREADABLE}), in_flight=in_flight, on_sent=on_sent)


def _send(
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
        with _progress(what, total) as advance, open_sink(advance) as sink:
            report = sink.report
            for record in _paced(records, rate, stopped):
                sink.put(record)
                if rate and rate < REQUEST_MAX_RECORDS:
                    sink.flush()  # at a low rate, an event does not wait until its request is full
    except (PermanentError, TransientError, ClientError, BotoCoreError) as error:
        _report(report, report_file, finished=False)
        _fail(error)
    _report(report, report_file, finished=not stopped.is_set())
    if stopped.is_set():
        raise typer.Exit(130)
    if report.refused and not may_be_refused:
        _fail(f"{sum(report.refused.values()):,} events were refused; they are in no layer")


@contextlib.contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    if err.is_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=err) as bar:
            task = bar.add_task(what, total=total, speed="")
            started = time.monotonic()

            def advance(count: int) -> None:
                bar.advance(task, count)
                done = bar.tasks[0].completed
                bar.update(task, speed=f"{done / max(time.monotonic() - started, 0.001):,.0f}/s")

            yield advance
        return
    sent, shown, started = 0, time.monotonic(), time.monotonic()

    def plain(count: int) -> None:
        nonlocal sent, shown
        sent += count
        if time.monotonic() - shown >= PLAIN_PROGRESS_SECONDS:
            shown = time.monotonic()
            share = f" of {total:,}" if total else ""
            err.print(f"{what}: {sent:,}{share} sent, {sent / (shown - started):,.0f}/s", highlight=False)

    yield plain


def _report(report: Report, report_file: Path | None, *, finished: bool) -> None:
    total = sum(report.sent.values())
    speed = total / report.seconds if report.seconds else 0.0
    by_feed = ", ".join(f"{feed} {count:,}" for feed, count in sorted(report.sent.items())) or "nothing"
    state = "sent" if finished else "stopped after"
    err.print(
        f"{state} {total:,} events ({by_feed}) in {report.seconds:.1f} s, {speed:,.0f}/s, {report.resent:,} resent",
        highlight=False,
        soft_wrap=True,
    )
    if report.refused:
        by_feed = ", ".join(f"{feed} {count:,}" for feed, count in sorted(report.refused.items()))
        err.print(f"[yellow]refused {sum(report.refused.values()):,}[/] ({by_feed}), the first for:", highlight=False)
        for reason in report.refusals:
            err.print(f"  {reason}", highlight=False, markup=False, soft_wrap=True)
    if report.warned:
        err.print(
            f"[yellow]{report.warned:,} events break their contract and will be quarantined[/], the first for:",
            highlight=False,
        )
        for reason in report.warnings:
            err.print(f"  {reason}", highlight=False, markup=False, soft_wrap=True)
    if report_file:
        kept = {
            "sent": dict(report.sent),
            "refused": dict(report.refused),
            "warned": report.warned,
            "resent": report.resent,
            "seconds": report.seconds,
            "finished": finished,
        }
        report_file.write_text(json.dumps(kept), "utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1 << 16)
def _key(value: object) -> str:
    """Returns the partition key, a hash, because an entity may be a person and keys must not hold personal data."""
    return sha256(str(value).encode()).hexdigest()[:32]


@app.command()
def replay(
    file: Annotated[
        Path,
        typer.Argument(help="CSV of any dialect, JSON, Parquet or a workbook, compressed or not, or a zip of them."),
    ],
    feed: Annotated[str, typer.Option(help="The contract that the records follow.")] = "online_retail",
    rows: Annotated[int | None, typer.Option(min=1, help="Send only this many rows from the start.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Name of the data. By default the SHA-256 of the uncompressed file: "
            "the same data sent again changes nothing."
        ),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of a file that is neither UTF-8 nor UTF-16.")] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Delimiter, if the header is not separated by , ; tab or |.")
    ] = None,
    date_order: Annotated[str | None, typer.Option(help="mdy, dmy or ymd, if the dates fit several of these.")] = None,
    decimal_comma: Annotated[
        bool | None,
        typer.Option(
            "--decimal-comma/--decimal-point",
            help="1,500 is one and a half, or one thousand five hundred.",
            show_default="by the file",
        ),
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet, if several of the workbook have the columns.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Column of the contract and header of the file: InvoiceNo='Header of the file'. Repeatable."),
    ] = None,
    event_version: Annotated[
        int,
        typer.Option(
            min=1,
            help="Above 1: corrects, line by line, the events of the same --dataset that were sent with --identity file.",
        ),
    ] = 1,
    identity: Annotated[
        Identity | None,
        typer.Option(
            help="How rows are identified: rows (values of the contract's identity columns) or file (data set and line).",
            show_default="by the contract",
        ),
    ] = None,
    sink: SinkKind = Target.KINESIS,
    stream: Stream = STREAM,
    endpoint_url: Endpoint = None,
    url: Url = "",
    api_key: ApiKey = "",
    rate: Rate = None,
    in_flight: InFlight = 4,
    report_file: ReportFile = None,
) -> None:
    """Send a file. Its format is detected from the whole file. If the file is ambiguous, the command asks for a flag and does not guess."""
    contract = _contract(feed)
    if date_order and date_order not in {"mdy", "dmy", "ymd"}:
        _fail(f"--date-order {date_order}: expected mdy, dmy or ymd")
    if wrong := [c for c in column or [] if "=" not in c]:
        _fail(f"--column {wrong[0]}: expected KEY=HEADER, keys are {', '.join(c.header for c in contract.columns)}")
    named = dict(c.split("=", 1) for c in column or [])
    if unknown := [key for key in named if key not in {c.header for c in contract.columns}]:
        _fail(f"--column {unknown[0]}: no key of feed {feed}; keys are {', '.join(c.header for c in contract.columns)}")
    if event_version > 1 and not dataset:
        _fail(
            f"--event-version {event_version} corrects a data set: name it with --dataset, as it was named when it was first sent"
        )
    flags = Flags(encoding, delimiter, date_order, decimal_comma, sheet, named, dataset, event_version, identity)
    open_sink = _sink(
        sink,
        stream=stream,
        endpoint_url=endpoint_url,
        url=url,
        api_key=api_key,
        in_flight=in_flight,
        correcting=event_version > 1,
    )
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        try:
            # An unreadable file in a zip stops the command: its user can repair the file, and nothing has been sent
            # yet.
            readings, skipped, _ = read_files(file, contract, flags, Path(folder)).whole(file)
            identities = [FileIdentity(reading.file, reading.survey, Path(folder)) for reading in readings]
        except PermanentError as error:
            _fail(error)
        if skipped:
            err.print(
                f"{file}: left out of the zip: {', '.join(skipped)}", highlight=False, markup=False, soft_wrap=True
            )
        for reading in readings:
            _print_reading(file, reading)
        found = sum(reading.survey.rows for reading in readings)
        records = itertools.chain.from_iterable(_records(file, each, event_version, rate) for each in identities)
        _send(
            itertools.islice(records, rows),
            min(found, rows) if rows else found,
            open_sink=open_sink,
            rate=rate,
            report_file=report_file,
            what=f"replay {file.name}",
            may_be_refused=False,
        )


def _print_reading(file: Path, reading: Reading) -> None:
    survey = reading.survey
    left_out = ", ".join(
        f"{of.rows:,} {kind.replace('_', ' ')} (line {', '.join(map(str, of.lines[:LINES_SHOWN]))}"
        f"{', ...' if of.rows > LINES_SHOWN else ''})"
        for kind, of in survey.left_out.items()
    )
    err.print(
        f"{f'{file}, {reading.name}' if reading.name else file}: {survey.rows:,} rows, left out: {left_out or 'nothing'}, "
        f"{reading.file.layout(survey)}, dates {survey.date_order}, data set {survey.data_set[:20]}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if survey.filled_down:
        filled = ", ".join(f"{key} {count:,}" for key, count in survey.filled_down.items())
        err.print(f"filled down from an order's first row: {filled}", highlight=False, markup=False, soft_wrap=True)
    if survey.uneven_rows:
        err.print(
            f"[yellow]{survey.uneven_rows:,} rows have not the header's number of fields[/]; they will be quarantined "
            "if they break the contract",
            highlight=False,
            soft_wrap=True,
        )
    if survey.formulas_without_value:
        err.print(
            f"[yellow]{survey.formulas_without_value:,} cells have a formula without a value[/]; save the workbook in a "
            "spreadsheet program to have them",
            highlight=False,
            soft_wrap=True,
        )


def _records(path: Path, found: FileIdentity, event_version: int, rate: float | None) -> Iterator[Record]:
    source, survey = found.source, found.survey
    feed, keys = source.contract.feed, survey.keys
    envelopes = Envelopes(keys, feed=feed, version=source.contract.version, event_version=event_version)
    key_of = source.contract.column(source.contract.partition_key).header
    key_at = keys.index(key_of) if key_of in keys else len(keys)
    with found:
        err.print(f"{path}: {found}", highlight=False, markup=False, soft_wrap=True)
        # With a rate, a block holds the events of a tenth of a second, because `sent_at` is the time of encoding.
        for block, ids in found.blocks(max(1, int(rate / 10)) if rate else BLOCK_ROWS):
            lines = source.encoded(block, ids, envelopes, _now()).split(b"\n")[:-1]
            if block.records is None:
                entities: list[object] = [
                    values[key_at] if key_at < len(values) <= len(keys) else line
                    for line, values in zip(block.lines, block.values, strict=True)
                ]
            else:
                entities = [
                    _as_text(record.get(key_of, line)) for line, record in zip(block.lines, block.records, strict=True)
                ]
            for data, entity in zip(lines, entities, strict=True):
                yield Record(data, _key(entity), feed)
    source.release()


def _as_text(value: object) -> object:
    # The value of a number is a fragment with its original text.
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@app.command()
def simulate(
    feed: Annotated[list[str], typer.Option(help=f"One of {', '.join(SHOPS)}. Repeatable: the feeds take turns.")],
    count: Annotated[int | None, typer.Option(min=1, help="Events of each feed.", show_default="1000")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Send without end, with the current time in each event.")
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=1, help="Each seed is a different shop, which has the same events each time, except with --live."
        ),
    ] = 1,
    bad_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of events that are broken on purpose.")] = 0.0,
    repeat_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of events that are sent twice.")] = 0.0,
    sink: SinkKind = Target.KINESIS,
    stream: Stream = STREAM,
    endpoint_url: Endpoint = None,
    url: Url = "",
    api_key: ApiKey = "",
    rate: Rate = None,
    in_flight: InFlight = 4,
    report_file: ReportFile = None,
) -> None:
    """Send simulated events, with plausible catalogues, persons and a daily rhythm."""
    if live and count:
        _fail("--live has no end, so it takes no --count")
    contracts = {name: _contract(name) for name in feed}
    if unknown := [name for name in feed if name not in SHOPS]:
        _fail(f"feed {unknown[0]!r} has no simulator; there are {', '.join(SHOPS)}")
    each = None if live else count or SIMULATED_EVENTS
    run = f"/{_now()}" if live else ""

    def records(contract: Contract) -> Iterator[Record]:
        name = contract.feed
        identify = event_ids(f"simulate/{name}/{seed}{run}")
        key_of = contract.column(contract.partition_key).header
        again = Random(f"{name}/{seed}/again")
        for number, (moment, data, broken) in enumerate(simulated(name, each, seed, bad_rate), 1):
            entity = _key(data[key_of])
            time_lost = bool(broken and broken.time_is_lost)
            sent = broken.data(data) if broken and broken.data else data
            line = envelope(
                event_id=identify(number),
                feed=name,
                version=contract.version,
                event_time=None if time_lost else moment,
                sent_at=_now(),
                data=sent,
            )
            record = Record(line, entity, name)
            if broken and broken.line:
                record = Record(broken.line(line), entity, UNREADABLE)
            yield record
            if again.random() < repeat_rate:
                yield record

    open_sink = _sink(sink, stream=stream, endpoint_url=endpoint_url, url=url, api_key=api_key, in_flight=in_flight)
    _send(
        interleave_longest(*map(records, contracts.values())),
        each and each * len(contracts),
        open_sink=open_sink,
        rate=rate,
        report_file=report_file,
        what=f"simulate {', '.join(contracts)}",
        may_be_refused=bad_rate > 0,
    )


if __name__ == "__main__":
    with values_withheld():
        sys.exit(app())
