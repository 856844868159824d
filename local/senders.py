"""Sends events without our producer, as other systems do: in other framings and with other spellings of values.

The demo sends a share of its events in each of these ways. In each of them, an event is one event in every layer.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
from aws_kinesis_agg.aggregator import RecordAggregator
from ecommerce_elt.feeds.contracts import load_contracts
from more_itertools import chunked

from local.stack import PROJECT_DIR, Stack
from producer.simulate import simulated

SEED = 1042  # other shops, so that their invoices differ from those of the demo's producers
EVENTS_A_REQUEST = 100
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:demo")

Record = dict[str, object]
Put = Callable[[list[bytes]], None]


def _as_pandas_writes(moment: datetime, record: Record) -> Record:
    """Returns the record with identifiers as floats and nan for a missing one, as in a column with gaps."""
    customer = f"{record['CustomerID']}.0" if record["CustomerID"] else "nan"
    return record | {"CustomerID": customer, "InvoiceDate": moment.isoformat(" ")}


def _as_a_spreadsheet_shows(moment: datetime, record: Record) -> Record:
    return record | {
        "UnitPrice": f"£{record['UnitPrice']}",
        "InvoiceDate": f"{moment.month}/{moment.day}/{moment:%Y %H:%M}",
    }


def _as_a_form_sends(moment: datetime, record: Record) -> Record:
    return record | {"Gender": str(record["Gender"])[0], "Amount": f"${record['Amount']}"}


def _as_a_script_computes(moment: datetime, record: Record) -> Record:
    """Returns the record with JSON numbers, a price as a binary float, and the time in seconds since 1970."""
    price = float(str(record["price"])) + 0.001
    return record | {"event_time": moment.timestamp(), "quantity": int(str(record["quantity"])), "price": price}


SPELLINGS = {
    "online_retail": (_as_pandas_writes, _as_a_spreadsheet_shows),
    "purchases": (_as_a_form_sends,),
    "product_events": (_as_a_script_computes,),
}


def _records(feed: str, count: int, seed: int) -> Iterator[Record]:
    spellings = itertools.cycle(SPELLINGS[feed])
    for moment, record, _ in simulated(feed, count, seed, bad_rate=0):
        yield next(spellings)(moment, record)


def _envelope(feed: str, version: int, number: int, record: Record) -> bytes:
    made = {
        "event_id": str(uuid.uuid5(_NAMESPACE, f"{feed} {number}")),
        "feed": feed,
        "schema_version": version,
        "event_time": None,
        "sent_at": "2026-01-01T00:00:00Z",
        "data": record,
    }
    return json.dumps(made).encode()


def _aggregated(events: list[bytes], put: Put) -> None:
    """Puts many events in one record, as the Kinesis Producer Library does."""
    aggregator = RecordAggregator()
    records = [full for event in events if (full := aggregator.add_user_record(uuid.uuid4().hex, event))]
    put([record.get_contents()[2] for record in [*records, aggregator.clear_and_get()]])


def _in_lines(events: list[bytes], put: Put) -> None:
    put([gzip.compress(b"\n".join(some)) for some in chunked(events, 20)])


def _in_arrays(events: list[bytes], put: Put) -> None:
    put([b"\xef\xbb\xbf[" + b",".join(some) + b"]" for some in chunked(events, 20)])


FRAMINGS: tuple[Callable[[list[bytes], Put], None], ...] = (_aggregated, _in_lines, _in_arrays)


WAYS = (
    "aggregated by the KPL",
    "JSON lines in gzip",
    "arrays",
    "bare over HTTP",
    "CSV over HTTP",
    "bare on the stream",
)


def send(stack: Stack, count: int, *, without_ids: bool) -> Counter[str]:
    """Sends `count` events of each feed in each way, and returns the number of events of each feed.

    Args:
        count: number of events for each feed and way.
        without_ids: also sends bare records on the stream. The id of such an event is its position in the stream, so
            another run sends different events; all other events have the same ids in each run.
    """
    env = stack.user_environment()
    kinesis = stack.client("kinesis")
    contracts = load_contracts(PROJECT_DIR / "include" / "feeds")
    sent: Counter[str] = Counter()

    def put(records: list[bytes]) -> None:
        waiting = [{"Data": data, "PartitionKey": uuid.uuid4().hex} for data in records]
        while waiting:
            answer = kinesis.put_records(StreamName=env["ECOMMERCE_STREAM"], Records=waiting[:500])["Records"]
            refused = [entry for entry, said in zip(waiting, answer, strict=False) if "ErrorCode" in said]
            waiting = refused + waiting[500:]

    with httpx.Client(base_url=env["ECOMMERCE_API_URL"], headers={"x-api-key": env["ECOMMERCE_API_KEY"]}) as api:
        for number, (feed, framing) in enumerate(itertools.product(contracts, FRAMINGS)):
            records = _records(feed, count, SEED + number)
            version = contracts[feed].version
            framing([_envelope(feed, version, count * number + i, record) for i, record in enumerate(records)], put)
            sent[feed] += count
        for number, (feed, door) in enumerate(itertools.product(contracts, (_as_json, _as_csv)), SEED + 100):
            for part, some in enumerate(chunked(_records(feed, count, number), EVENTS_A_REQUEST)):
                key = str(uuid.uuid5(_NAMESPACE, f"{number} {part}"))
                door(api, feed, key, some)
            sent[feed] += count
    for number, feed in enumerate(contracts if without_ids else (), SEED + 200):
        put([json.dumps(record).encode() for record in _records(feed, count, number)])
        sent[feed] += count
    return sent


def _as_json(api: httpx.Client, feed: str, key: str, records: list[Record]) -> None:
    api.post("/events", json=records, headers={"idempotency-key": key}).raise_for_status()


def _as_csv(api: httpx.Client, feed: str, key: str, records: list[Record]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0])
    writer.writeheader()
    writer.writerows(records)
    headers: dict[str, Any] = {"idempotency-key": key, "content-type": "text/csv"}
    api.post(f"/events?feed={feed}", content=text.getvalue().encode(), headers=headers).raise_for_status()
