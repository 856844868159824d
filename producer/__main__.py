"""The producer's command line: `python -m producer --help`."""

from __future__ import annotations

import itertools
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from ecommerce_elt import aws_names
from ecommerce_elt.errors import PermanentError, values_withheld
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.landing.identity import FileIdentity
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.readings import read_files
from ecommerce_elt.settings import PROJECT_DIR
from more_itertools import interleave_longest

from producer.console import err, fail, print_reading
from producer.events import file_records, now, simulated_records
from producer.sending import Target, open_sink_of, send
from producer.simulate import SHOPS

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)

SIMULATED_EVENTS = 1000
STREAM = aws_names.stream()


class Identity(StrEnum):
    FILE = "file"
    ROWS = "rows"


Endpoint = Annotated[str | None, typer.Option(help="Endpoint of Kinesis. By default boto3's own variables, or AWS.")]
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
File = Annotated[
    Path,
    typer.Argument(help="CSV of any dialect, JSON, Parquet or a workbook, compressed or not, or a zip of them."),
]
Feed = Annotated[str, typer.Option(help="The contract that the records follow.")]
Rows = Annotated[int | None, typer.Option(min=1, help="Send only this many rows from the start.")]
DataSet = Annotated[
    str | None,
    typer.Option(
        help="Name of the data. By default the SHA-256 of the uncompressed file: "
        "the same data sent again changes nothing."
    ),
]
Encoding = Annotated[str | None, typer.Option(help="Encoding of a file that is neither UTF-8 nor UTF-16.")]
Delimiter = Annotated[str | None, typer.Option(help="Delimiter, if the header is not separated by , ; tab or |.")]
DateOrder = Annotated[str | None, typer.Option(help="mdy, dmy or ymd, if the dates fit several of these.")]
DecimalComma = Annotated[
    bool | None,
    typer.Option(
        "--decimal-comma/--decimal-point",
        help="1,500 is one and a half, or one thousand five hundred.",
        show_default="by the file",
    ),
]
Sheet = Annotated[str | None, typer.Option(help="Sheet, if several of the workbook have the columns.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(help="Column of the contract and header of the file: InvoiceNo='Header of the file'. Repeatable."),
]
EventVersion = Annotated[
    int,
    typer.Option(
        min=1,
        help="Above 1: corrects, line by line, the events of the same --dataset that were sent with --identity file.",
    ),
]
IdentifiedBy = Annotated[
    Identity | None,
    typer.Option(
        help="How rows are identified: rows (values of the contract's identity columns) or file (data set and line).",
        show_default="by the contract",
    ),
]


def _contract(feed: str) -> Contract:
    contracts = load_contracts(PROJECT_DIR / "include" / "feeds")
    if feed not in contracts:
        fail(f"no feed {feed!r}; there are {', '.join(contracts)}")
    return contracts[feed]


@app.command()
def replay(
    file: File,
    feed: Feed = "online_retail",
    rows: Rows = None,
    dataset: DataSet = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    date_order: DateOrder = None,
    decimal_comma: DecimalComma = None,
    sheet: Sheet = None,
    column: Columns = None,
    event_version: EventVersion = 1,
    identity: IdentifiedBy = None,
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
        fail(f"--date-order {date_order}: expected mdy, dmy or ymd")
    named = _headers(contract, column or [])
    if event_version > 1 and not dataset:
        fail(
            f"--event-version {event_version} corrects a data set: name it with --dataset, as it was named when it was first sent"
        )
    flags = Flags(encoding, delimiter, date_order, decimal_comma, sheet, named, dataset, event_version, identity)
    open_sink = open_sink_of(
        sink,
        stream=stream,
        endpoint_url=endpoint_url,
        url=url,
        api_key=api_key,
        in_flight=in_flight,
        correcting=event_version > 1,
    )
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        identities = _identities(file, contract, flags, Path(folder))
        found = sum(each.survey.rows for each in identities)
        records = itertools.chain.from_iterable(file_records(file, each, event_version, rate) for each in identities)
        send(
            itertools.islice(records, rows),
            min(found, rows) if rows else found,
            open_sink=open_sink,
            rate=rate,
            report_file=report_file,
            what=f"replay {file.name}",
            may_be_refused=False,
        )


def _headers(contract: Contract, columns: list[str]) -> dict[str, str]:
    """Returns the headers of --column by the contract's keys."""
    keys = [c.header for c in contract.columns]
    if wrong := [c for c in columns if "=" not in c]:
        fail(f"--column {wrong[0]}: expected KEY=HEADER, keys are {', '.join(keys)}")
    named = dict(c.split("=", 1) for c in columns)
    if unknown := [key for key in named if key not in keys]:
        fail(f"--column {unknown[0]}: no key of feed {contract.feed}; keys are {', '.join(keys)}")
    return named


def _identities(file: Path, contract: Contract, flags: Flags, folder: Path) -> list[FileIdentity]:
    """Returns the files of a file, which may be a zip, with the identities of their rows; tells how they are read."""
    try:
        # An unreadable file in a zip stops the command: its user can repair the file, and nothing has been sent yet.
        readings, skipped, _ = read_files(file, contract, flags, folder).whole(file)
        identities = [FileIdentity(reading.file, reading.survey, folder) for reading in readings]
    except PermanentError as error:
        fail(error)
    if skipped:
        err.print(f"{file}: left out of the zip: {', '.join(skipped)}", highlight=False, markup=False, soft_wrap=True)
    for reading in readings:
        print_reading(file, reading)
    return identities


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
        fail("--live has no end, so it takes no --count")
    contracts = {name: _contract(name) for name in feed}
    if unknown := [name for name in feed if name not in SHOPS]:
        fail(f"feed {unknown[0]!r} has no simulator; there are {', '.join(SHOPS)}")
    each = None if live else count or SIMULATED_EVENTS
    run = f"/{now()}" if live else ""
    open_sink = open_sink_of(
        sink, stream=stream, endpoint_url=endpoint_url, url=url, api_key=api_key, in_flight=in_flight
    )
    send(
        interleave_longest(*(simulated_records(c, each, seed, run, bad_rate, repeat_rate) for c in contracts.values())),
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
