"""Compares the files of the lake with core, row by row, by day of the events. See docs/adr/0022.

It compares the days that changed since their last comparison, and some other days in turn.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from more_itertools import chunked

from ecommerce_elt import aws_names
from ecommerce_elt.batches.clean_files import S3_THREADS
from ecommerce_elt.cleaning.cleaner import clean_schema
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.lake import lists
from ecommerce_elt.lake.parquet_files import schema_of
from ecommerce_elt.load.invoice_items import DELIVERED_FEED
from ecommerce_elt.reconcile.arrivals import KEPT_DAYS, STATE, folder_of
from ecommerce_elt.reconcile.differences import LOOK_SECONDS, LOOKS, NAMED, Difference, keep_day, utc
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, chosen, role_of, texts

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

READ_MAX = 10_000  # rows that are read of a difference: the LIMIT in ops/reconcile_day_results
BATCH_GET_MAX = 100  # BatchGetItem: DynamoDB API reference
NOT_COMPARED = {"source_object", "source_line", "extra"}  # lineage is in the lake only; extra is SUPER in core


def reconcile_days(
    s3: S3Client, dynamodb: DynamoDBClient, target: Warehouse, contract: Contract, settings: Settings, now: datetime
) -> tuple[dict[str, Any], list[Difference]]:
    """Compares days of the feed in the lake with core, row by row, and returns a summary and the differences.

    It compares days that changed since their last comparison, days that differed, and up to `reconcile_days_a_run`
    other days, those with the oldest comparison first. For DELIVERED_FEED, it also compares the rows of Firehose and a
    sample of the items in DynamoDB.
    """
    known = {
        day: (utc(compared), int(differing))
        for day, compared, differing in target.query(
            (settings.sql_dir / "ops/reconciled_day/known.sql").read_text("utf-8"), {"feed": contract.feed}
        )
    }
    listed = lists.changes(s3, settings.bucket, contract.feed)
    changed = [day for day, at in listed.items() if day not in known or at >= known[day][0] or known[day][1]]
    others = sorted((at, day) for day, (at, _) in known.items() if day not in changed)
    compared = sorted({*changed, *(day for _, day in others[: settings.reconcile_days_a_run])})
    differences: list[Difference] = []
    schema, outdated = clean_schema(contract, settings), []
    # One session for all days, because Redshift allows 500 and closes each only some time after its last statement.
    with target.session() as session:
        for day in compared:
            urls = lists.files(s3, settings.bucket, contract.feed, day, day)
            with ThreadPoolExecutor(S3_THREADS) as pool:
                columns = list(pool.map(lambda url: schema_of(s3, url), urls))
            if any(not found.equals(schema) for found in columns):
                outdated.append(day)  # COPY needs all columns in order; maintain_lake rewrites the files
                continue
            differences += _compare_day(s3, dynamodb, session, contract, day, settings, now)
    if outdated:
        log.warning(
            "feed=%s not compared until maintain_lake has run, files of an older contract: %s",
            contract.feed,
            outdated[:NAMED],
        )
    summary = {
        "feed": contract.feed,
        "days": len(compared) - len(outdated),
        "changed": len(changed),
        "outdated": len(outdated),
        "differences": len(differences),
    }
    return summary, differences


def _compare_day(
    s3: S3Client,
    dynamodb: DynamoDBClient,
    session: Any,
    contract: Contract,
    day: str,
    settings: Settings,
    now: datetime,
) -> list[Difference]:
    kinds: dict[str, str] = {}
    found: list[Difference] = []
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_SECONDS)
        (lake_rows, core_rows), seen = _look(s3, session, contract, day, settings)
        kinds = seen if look == 0 else {event: what for event, what in seen.items() if event in kinds}
        if not kinds and contract.feed == DELIVERED_FEED and lake_rows:
            found = _check_other_ways(dynamodb, session, contract, day, settings, now)
        if not kinds:
            break
    for what in sorted(set(kinds.values())):
        events = sorted(event for event, kind in kinds.items() if kind == what)
        found.append(Difference(contract.feed, "core", day, f"{_many(events)} events {what}", events=events[:NAMED]))
    counts = {"lake_rows": lake_rows, "core_rows": core_rows, "differing": len(kinds) or len(found)}
    keep_day(session, contract.feed, day, counts, found, settings, now)
    return found


# The transaction that compares a day of the lake with core. COPY rejects a manifest without files.
COMPARE: tuple[tuple[str, Callable[[Sequence[str]], bool]], ...] = (
    ("ops/reconcile_day/drop_previous_day.sql", lambda urls: True),
    ("ops/reconcile_day/create_day_staged.sql", lambda urls: True),
    ("ops/reconcile_day/copy_day.sql", lambda urls: bool(urls)),
    ("ops/reconcile_day/find_differences.sql", lambda urls: True),
    ("ops/reconcile_day/count.sql", lambda urls: True),
)


def _look(
    s3: S3Client, session: Any, contract: Contract, day: str, settings: Settings
) -> tuple[tuple[int, int], dict[str, str]]:
    urls = lists.files(s3, settings.bucket, contract.feed, day, day)
    sizes = lists.sizes_of(s3, settings.bucket, contract.feed, day, urls)
    entries = [{"url": url, "mandatory": True, "meta": {"content_length": sizes[url]}} for url in urls]
    manifest = f"{STATE}{contract.feed}/day-{day}.json"
    s3.put_object(Bucket=settings.bucket, Key=manifest, Body=json.dumps({"entries": entries}).encode())
    names = {
        "staging": contract.staging,
        "fact": contract.tables[0],
        "columns": _columns(session, contract),
        "copy_manifest": f"s3://{settings.bucket}/{manifest}",
        "copy_role": role_of(settings),
    }
    bounds = {"first_time": f"{day} 00:00:00", "end_time": f"{date.fromisoformat(day) + timedelta(days=1)} 00:00:00"}
    statements = texts(settings.sql_dir, chosen(COMPARE, urls), names)
    session.run(statements, bounds, name=f"compare {contract.feed}")
    results = settings.sql_dir / "ops/reconcile_day_results"
    [counts] = session.query((results / "counts.sql").read_text("utf-8"))
    rows = session.query((results / "differences.sql").read_text("utf-8"))
    return (int(counts[0]), int(counts[1])), dict(rows)


def _many(events: list[str]) -> str:
    return f"{len(events)}" if len(events) < READ_MAX else f"at least {READ_MAX}"


def _columns(session: Any, contract: Contract) -> str:
    columns, _ = session.table(f"SELECT * FROM {contract.staging} WHERE 1 = 0")  # noqa: S608  # of the contract
    return ", ".join(column.name for column in columns if column.name not in NOT_COMPARED)


def _check_other_ways(
    dynamodb: DynamoDBClient, session: Any, contract: Contract, day: str, settings: Settings, now: datetime
) -> list[Difference]:
    """Returns differences for streamed events of the last days that Firehose or DynamoDB should have by now."""
    until = now - timedelta(minutes=settings.reconcile_delivery_minutes)
    since = now - timedelta(days=KEPT_DAYS - 1)
    bounds = {
        "first_key": folder_of(contract.feed, since),
        "last_key": folder_of(contract.feed, until),
        "first_hour": f"{since:%Y-%m-%d %H:00:00}",
    }
    results = settings.sql_dir / "ops/reconcile_day_results"
    found = []
    missing = []
    if settings.has_delivery:
        missing = [row[0] for row in session.query((results / "undelivered.sql").read_text("utf-8"), bounds)]
    if missing:
        text = f"{_many(missing)} events were not delivered"
        found.append(Difference(contract.feed, "firehose", day, text, events=missing[:NAMED]))
    sample = session.query((results / "items.sql").read_text("utf-8"), bounds)
    if lacking := _not_in_items(dynamodb, aws_names.invoices(settings.stack_prefix), sample):
        text = f"{len(lacking)} of {len(sample)} events are in no item"
        found.append(Difference(contract.feed, "dynamodb", day, text, events=lacking[:NAMED]))
    return found


def _not_in_items(dynamodb: DynamoDBClient, table: str, sample: list[tuple[Any, ...]]) -> list[str]:
    keys = sorted({(invoice, code) for _, invoice, code in sample})
    has: set[str] = set()
    for some in chunked(keys, BATCH_GET_MAX):
        request: Mapping[str, Any] = {
            table: {"Keys": [{"InvoiceNo": {"S": i}, "StockCode": {"S": c}} for i, c in some], "ConsistentRead": True}
        }
        while request:
            answer = dynamodb.batch_get_item(RequestItems=request)
            for item in answer["Responses"].get(table, []):
                has |= item["Lines"]["M"].keys()
            request = answer.get("UnprocessedKeys") or {}
    return sorted(event for event, *_ in sample if event not in has)
