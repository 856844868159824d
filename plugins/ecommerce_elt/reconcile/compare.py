"""Counts the events in every layer independently, and compares the counts. See docs/adr/0022.

By hour of arrival and feed, it compares the counts of the stream, the lines in raw/, the counts that loads committed,
and the rows in quarantine. An hour that is over and has no difference is sealed. It is counted again only if an object
arrives later. By day of the events, it compares the files of the lake with core, row by row: the days that changed
since their last comparison, and some other days in turn.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from more_itertools import chunked

from ecommerce_elt import listing
from ecommerce_elt.batches.clean_files import S3_THREADS
from ecommerce_elt.batches.manifests import (
    BATCH_ID,
    OPEN,
    RawObject,
    feed_of,
    open_batches,
    prefix_of,
    read_manifest,
)
from ecommerce_elt.cleaning.cleaner import clean_schema
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.lake import lists as lake_lists
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, chosen, render, role_of, texts

log = logging.getLogger(__name__)

LANDED_SUFFIX = ".ndjson.gz"  # suffix of raw objects of landed files
STATE = "manifests/reconcile/"
KEPT_DAYS = 8  # Kinesis retains records for seven days, so older hours get no new objects
DELIVERED_FEED = "online_retail"  # the feed that firehose_transform and dynamodb_writer consume
READ_MAX = 10_000  # rows that are read of a difference: the LIMIT in ops/reconcile_day_results
NAMED = 20  # objects and events named by a difference
LOOKS, LOOK_SECONDS = 3, 5.0  # repeated looks discard differences caused by a running load
# The prefix that raw_writer writes for a line that is not the first of its Kinesis record.
NOT_FIRST = b'{"record_index":'
BATCH_GET_MAX = 100  # BatchGetItem: DynamoDB API reference
NOT_COMPARED = {"source_object", "source_line", "extra"}  # lineage is in the lake only; extra is SUPER in core
_HOUR = re.compile(r"/dt=(?P<day>\d{4}-\d\d-\d\d)/hour=(?P<hour>\d\d)/")


@dataclass
class Difference:
    """A difference between two layers. `where` is an hour, a day or empty; it names up to NAMED objects and events."""

    feed: str
    layer: str
    where: str
    text: str
    objects: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        named = f": {', '.join([*self.objects, *self.events])}" if self.objects or self.events else ""
        return f"{self.feed} {self.where} {self.layer}: {self.text}{named}".replace("  ", " ")


@dataclass
class Hour:
    """The counts of one hour of arrival. `waiting` counts the objects that are in no committed batch."""

    objects: int = 0
    raw: int = 0
    accepted: int = 0
    clean: int = 0
    quarantined: int = 0
    duplicates: int = 0
    quarantine_rows: int = 0
    waiting: int = 0
    oldest_waiting_seconds: float = 0
    unclaimed: list[RawObject] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


def hour_of(key: str) -> datetime:
    found = _HOUR.search(key)
    assert found is not None, key
    return datetime.fromisoformat(f"{found['day']}T{found['hour']}:00:00+00:00")


def folder_of(feed: str, hour: datetime) -> str:
    return f"{prefix_of(feed)}dt={hour:%Y-%m-%d}/hour={hour:%H}/"


# -- hours of arrival -------------------------------------------------------------------------------------------------


def reconcile_hours(
    s3: Any, target: Warehouse, feed: str, settings: Settings, now: datetime
) -> tuple[dict[str, Any], list[Difference], list[RawObject]]:
    """Counts the feed's unsealed hours, and stores the counts in ops.reconciliation.

    Returns:
        A summary, the differences, and the overdue raw objects that are in no batch.
    """
    settled = now - timedelta(minutes=settings.reconcile_settle_minutes)
    since = (now - timedelta(days=KEPT_DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    sql = settings.sql_dir / "ops/reconciliation"
    known = {
        _utc(hour): (sealed in {True, "true", "t"}, _utc(counted), counted_objects)
        for hour, sealed, counted, counted_objects in target.query(
            (sql / "known.sql").read_text("utf-8"), {"feed": feed, "since": f"{since:%Y-%m-%d %H:%M:%S}"}
        )
    }
    objects = _objects(s3, settings.bucket, feed, since, now)
    contract = load_contracts(settings.include_dir / "feeds").get(feed)
    differences: list[Difference] = []
    newest: datetime | None = None
    waiting, oldest = 0, 0.0
    unclaimed: list[RawObject] = []
    for hour in sorted(objects.keys() | known.keys()):
        found = objects.get(hour, [])
        sealed, counted_at, counted_objects = known.get(hour, (False, now, 0))
        is_same = counted_objects == len(found)
        if found:
            changed = max(entry["LastModified"] for entry in found)
            newest = max(newest or changed, changed)
            is_same = is_same and changed < counted_at
        if sealed and is_same:
            continue
        count = _count_hour(s3, target, feed, hour, found, settings, settled, contract)
        differences += count.differences
        waiting += count.waiting
        unclaimed += count.unclaimed
        oldest = max(oldest, count.oldest_waiting_seconds)
        is_over = hour + timedelta(hours=1) < settled
        _keep_hour(
            target, feed, hour, count, settings, now, is_sealed=is_over and not count.differences and not count.waiting
        )
    differences += _check_batches(target, feed, since, settings)
    if contract:
        differences += _check_core(target, contract, settings)
        silent = (now - newest).total_seconds() if newest else None
        if contract.max_silence_minutes and silent is not None and silent > 60 * contract.max_silence_minutes:
            differences.append(
                Difference(
                    feed,
                    "raw",
                    "",
                    f"nothing arrived for {silent / 60:.0f} minutes; the contract "
                    f"expects something every {contract.max_silence_minutes}",
                )
            )
    summary = {
        "feed": feed,
        "hours": len(objects),
        "waiting": waiting,
        "oldest_waiting_seconds": round(oldest),
        "newest": newest.isoformat() if newest else None,
        "differences": len(differences),
    }
    return summary, differences, unclaimed


def announce(sqs: Any, objects: Iterable[RawObject], settings: Settings) -> int:
    """Announces raw objects again whose notification S3 lost, and returns their number.

    Nothing is announced while messages wait in the queue, because they may announce these objects. load_events ignores
    objects that it knows.
    """
    url = sqs.get_queue_url(QueueName=settings.raw_objects_queue)["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    if any(int(n) for n in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()):
        return 0
    announced = 0
    for raw in objects:
        sqs.send_message(QueueUrl=url, MessageBody=notification(raw))
        announced += 1
    return announced


def notification(raw: RawObject) -> str:
    """Returns the part of an S3 event notification for a new object that load_events reads."""
    written = {"key": quote_plus(raw.key, safe="/"), "eTag": raw.etag, "size": raw.size}
    return json.dumps({"Records": [{"s3": {"bucket": {"name": raw.bucket}, "object": written}}]})


def _text(moment: datetime) -> str:
    """Returns a time in whole seconds, as in S3, so that objects written in the same second count as later."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _objects(s3: Any, bucket: str, feed: str, since: datetime, now: datetime) -> dict[datetime, list[dict[str, Any]]]:
    """Returns the listed raw objects by hour of arrival."""
    found: dict[datetime, list[dict[str, Any]]] = {}
    for days in range((now.date() - since.date()).days + 1):
        day = f"{prefix_of(feed)}dt={since.date() + timedelta(days=days)}/"
        for entry in listing.objects(s3, bucket, day):
            found.setdefault(hour_of(entry["Key"]), []).append(entry)
    return found


def _count_hour(
    s3: Any,
    target: Warehouse,
    feed: str,
    hour: datetime,
    objects: list[dict[str, Any]],
    settings: Settings,
    settled: datetime,
    contract: Contract | None,
) -> Hour:
    folder, where = folder_of(feed, hour), f"{hour:%Y-%m-%dT%H:00Z}"
    lines = {key: count.lines for key, count in _counted(s3, settings.bucket, feed, hour, objects).items()}
    keys = {"feed": feed, "first_key": folder, "last_key": folder + "~"}
    sql = settings.sql_dir / "ops/reconcile"
    loaded = {
        key: tuple(map(int, counts)) for key, *counts in target.query((sql / "objects.sql").read_text("utf-8"), keys)
    }
    rejected = {key: int(rows) for key, rows in target.query((sql / "quarantine.sql").read_text("utf-8"), keys)}
    count = Hour(
        objects=len(objects),
        raw=sum(lines.values()),
    )
    for name, values in zip(
        ("accepted", "clean", "quarantined", "duplicates"), zip(*loaded.values(), strict=True), strict=False
    ):
        setattr(count, name, sum(values))
    count.quarantine_rows = sum(rejected.values())

    def differ(layer: str, text: str, found: Iterable[str]) -> None:
        named = sorted(found)
        if named:
            count.differences.append(Difference(feed, layer, where, f"{len(named)} {text}", named[:NAMED]))

    missing = {entry["Key"]: entry["LastModified"] for entry in objects if entry["Key"] not in loaded}
    count.waiting = len(missing)
    if missing:
        count.oldest_waiting_seconds = (datetime.now(UTC) - min(missing.values())).total_seconds()
    late = {key for key, written in missing.items() if written < settled}
    in_open = _in_open_batches(s3, settings.bucket, feed) if late else set()
    # Only load_history checks whether core has rows of landed files under other ids, so load_events must not load them.
    has_rows = contract is not None and contract.identity != "file"
    held = {key for key in late - in_open if has_rows and key.endswith(LANDED_SUFFIX)}
    count.unclaimed = [
        RawObject(entry["Key"], entry["ETag"].strip('"'), entry["Size"], settings.bucket)
        for entry in objects
        if entry["Key"] in late - in_open - held
    ]
    differ(
        "staging audit",
        "objects of raw/ in no batch: load_events is behind, or their notification was lost",
        late - in_open - held,
    )
    differ(
        "staging audit",
        "objects of landed files that are not loaded: load_history stopped, and waits for on_known",
        held,
    )
    differ("staging audit", "objects of raw/ in a batch that does not get committed", late & in_open)
    differ("raw", "objects that were loaded are gone", loaded.keys() - lines.keys())
    differ(
        "staging audit",
        "objects of which not all lines were accepted",
        (
            f"{key} ({lines[key]} lines, {loaded[key][0]} accepted)"
            for key in loaded.keys() & lines.keys()
            if lines[key] != loaded[key][0]
        ),
    )
    differ(
        "staging audit",
        "objects whose events are not all clean, quarantined or duplicates",
        (key for key, (accepted, *parts) in loaded.items() if accepted != sum(parts)),
    )
    differ(
        "quarantine",
        "objects whose rejected events are not all in ops.quarantine_reason",
        (
            f"{key} ({parts[2]} rejected, {rejected.get(key, 0)} there)"
            for key, parts in loaded.items()
            if parts[2] != rejected.get(key, 0)
        ),
    )
    return count


class _Count(NamedTuple):
    """The counts of an object in raw/ or quarantine/unreadable/. `records` counts first lines of Kinesis records."""

    etag: str
    lines: int
    records: int


def _counted(s3: Any, bucket: str, feed: str, hour: datetime, objects: list[dict[str, Any]]) -> dict[str, _Count]:
    """Returns the counts by key. Counts are stored for each hour with the ETag, so that no object is read twice."""
    state = f"{STATE}{feed}/{hour:%Y-%m-%dT%H}.json"
    try:
        known = json.loads(s3.get_object(Bucket=bucket, Key=state)["Body"].read())
    except s3.exceptions.NoSuchKey:
        known = {}

    def count(entry: dict[str, Any]) -> tuple[str, _Count]:
        key, etag = entry["Key"], entry["ETag"].strip('"')
        kept = known.get(key, [])
        if len(kept) == len(_Count._fields) and kept[0] == etag:  # shorter if an older version of this code counted it
            return key, _Count(*kept)
        with gzip.open(s3.get_object(Bucket=bucket, Key=key)["Body"]) as file:
            lines = [line.startswith(NOT_FIRST) for line in file if line.strip()]
        return key, _Count(etag, len(lines), lines.count(False))

    with ThreadPoolExecutor(S3_THREADS) as pool:
        counted = dict(pool.map(count, objects))
    if {key: list(found) for key, found in counted.items()} != known:
        s3.put_object(Bucket=bucket, Key=state, Body=json.dumps(counted).encode())
    return counted


def _in_open_batches(s3: Any, bucket: str, feed: str) -> set[str]:
    batches = [batch_id for batch_id in open_batches(s3, bucket) if feed_of(batch_id) == feed]
    return {raw.key for batch_id in batches for raw in read_manifest(s3, bucket, batch_id).objects}


def _keep_hour(
    target: Warehouse, feed: str, hour: datetime, count: Hour, settings: Settings, now: datetime, *, is_sealed: bool
) -> None:
    numbers = {k: str(v) for k, v in asdict(count).items() if isinstance(v, int)}
    text = "; ".join(map(str, count.differences))[:4000]
    _keep(
        target,
        settings,
        "reconciliation",
        {
            **numbers,
            "feed": feed,
            "hour_start": f"{hour:%Y-%m-%d %H:%M:%S}",
            "kinesis": "none",
            "difference": text or "none",
            "is_sealed": str(is_sealed).lower(),
            "counted_at": _text(now),
        },
    )


# The transactions that store the counts and replace earlier ones.
KEEP = {
    "reconciliation": (
        "ops/reconciliation/lock.sql",
        "ops/reconciliation/forget.sql",
        "ops/reconciliation/keep.sql",
    ),
    "reconciled_day": (
        "ops/reconciled_day/lock.sql",
        "ops/reconciled_day/forget.sql",
        "ops/reconciled_day/keep.sql",
    ),
}


def _keep(target: Warehouse, settings: Settings, table: str, values: dict[str, str]) -> None:
    target.run(texts(settings.sql_dir, KEEP[table], {}), values, name=f"keep {table}")


def _check_batches(target: Warehouse, feed: str, since: datetime, settings: Settings) -> list[Difference]:
    sql = (settings.sql_dir / "ops/reconcile/batches.sql").read_text("utf-8")
    rows = target.query(sql, {"feed": feed, "since": f"{since:%Y-%m-%d %H:%M:%S}"})
    return [
        Difference(feed, "staging audit", "", f"batch {batch_id} has {accepted} events, its objects have {of_objects}")
        for batch_id, accepted, of_objects in rows
    ]


def _check_core(target: Warehouse, contract: Contract, settings: Settings) -> list[Difference]:
    sql = (settings.sql_dir / "ops/reconcile/core.sql").read_text("utf-8")
    [[loaded, rows]] = target.query(render(sql, {"fact": contract.tables[0]}), {"feed": contract.feed})
    if int(loaded) == int(rows):
        return []
    return [Difference(contract.feed, "core", "", f"{contract.tables[0]} has {rows} rows, the loads brought {loaded}")]


# -- the stream -------------------------------------------------------------------------------------------------------


def reconcile_stream(
    cloudwatch: Any, s3: Any, target: Warehouse, feeds: Iterable[str], settings: Settings, now: datetime
) -> list[Difference]:
    """Compares the stream's count of records with those in raw/ and quarantine/unreadable/, and stores both by hour.

    Returns the differences. A record may contain several events, in objects of several feeds, but exactly one of its
    lines is the first. The comparison covers a whole day that ends some minutes ago, because records near the edge of
    an hour can be in the hour of the first record of their object. A surplus of stored records is not a difference,
    because a Lambda that is retried may write a record twice.
    """
    end = (now - timedelta(minutes=settings.reconcile_settle_minutes)).replace(second=0, microsecond=0)
    start = (end - timedelta(days=1)).replace(minute=0)
    points = cloudwatch.get_metric_statistics(
        Namespace="AWS/Kinesis",
        MetricName="IncomingRecords",
        Statistics=["Sum"],
        Period=60 * 5,
        Dimensions=[{"Name": "StreamName", "Value": f"{settings.stack_prefix}-events"}],
        StartTime=start,
        EndTime=end,
    )["Datapoints"]
    put: dict[datetime, int] = {}
    for point in points:
        hour = point["Timestamp"].astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        put[hour] = put.get(hour, 0) + int(point["Sum"])
    stored: dict[datetime, int] = {}
    edge = 0
    for feed in feeds:
        for hour, objects in _objects(s3, settings.bucket, feed, start - timedelta(hours=1), now).items():
            streamed = [entry for entry in objects if "/landed-" not in entry["Key"]]
            if not streamed or hour < start - timedelta(hours=1):
                continue
            counted = _counted(s3, settings.bucket, feed, hour, objects)
            if hour < start:
                edge += sum(counted[entry["Key"]].records for entry in streamed if entry["LastModified"] >= start)
            else:
                stored[hour] = stored.get(hour, 0) + sum(counted[entry["Key"]].records for entry in streamed)
    lost = sum(put.values()) - sum(stored.values()) - edge
    differences = []
    if lost > 0:
        worst = max(put, key=lambda hour: put[hour] - stored.get(hour, 0))
        differences.append(
            Difference(
                "*",
                "kinesis",
                f"{worst:%Y-%m-%dT%H:00Z}",
                f"{lost} records that the stream has are in no object of raw/; the most of that hour",
            )
        )
    for hour in sorted({*put, *stored}):
        _keep(
            target,
            settings,
            "reconciliation",
            {
                "feed": "*",
                "hour_start": f"{hour:%Y-%m-%d %H:%M:%S}",
                "kinesis": str(put.get(hour, 0)),
                "raw": str(stored.get(hour, 0)),
                **dict.fromkeys(
                    ("objects", "accepted", "clean", "quarantined", "duplicates", "quarantine_rows", "waiting"), "0"
                ),
                "difference": str(differences[0])[:4000]
                if differences and f"{hour:%Y-%m-%dT%H:00Z}" == differences[0].where
                else "none",
                "is_sealed": "false",
                "counted_at": _text(now),
            },
        )
    return differences


# -- days of events ---------------------------------------------------------------------------------------------------


def reconcile_days(
    s3: Any, dynamodb: Any, target: Warehouse, contract: Contract, settings: Settings, now: datetime
) -> tuple[dict[str, Any], list[Difference]]:
    """Compares days of the feed in the lake with core, row by row, and returns a summary and the differences.

    It compares days that changed since their last comparison, days that differed, and up to `reconcile_days_a_run`
    other days, those with the oldest comparison first. For DELIVERED_FEED, it also compares the rows of Firehose and a
    sample of the items in DynamoDB.
    """
    known = {
        day: (_utc(compared), int(differing))
        for day, compared, differing in target.query(
            (settings.sql_dir / "ops/reconciled_day/known.sql").read_text("utf-8"), {"feed": contract.feed}
        )
    }
    lists = lake_lists.changes(s3, settings.bucket, contract.feed)
    changed = [day for day, at in lists.items() if day not in known or at >= known[day][0] or known[day][1]]
    others = sorted((at, day) for day, (at, _) in known.items() if day not in changed)
    chosen = sorted({*changed, *(day for _, day in others[: settings.reconcile_days_a_run])})
    differences: list[Difference] = []
    schema, outdated = clean_schema(contract, settings), []
    # One session for all days, because Redshift allows 500 and closes each only some time after its last statement.
    with target.session() as session:
        for day in chosen:
            urls = lake_lists.files(s3, settings.bucket, contract.feed, day, day)
            with ThreadPoolExecutor(S3_THREADS) as pool:
                columns = list(pool.map(lambda url: lake_lists.schema_of(s3, url), urls))
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
        "days": len(chosen) - len(outdated),
        "changed": len(changed),
        "outdated": len(outdated),
        "differences": len(differences),
    }
    return summary, differences


def _compare_day(
    s3: Any, dynamodb: Any, session: Any, contract: Contract, day: str, settings: Settings, now: datetime
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
    text = "; ".join(map(str, found))[:4000]
    _keep(
        session,
        settings,
        "reconciled_day",
        {
            "feed": contract.feed,
            "event_date": day,
            "lake_rows": str(lake_rows),
            "core_rows": str(core_rows),
            "differing": str(len(kinds) or len(found)),
            "difference": text or "none",
            "compared_at": _text(now),
        },
    )
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
    s3: Any, session: Any, contract: Contract, day: str, settings: Settings
) -> tuple[tuple[int, int], dict[str, str]]:
    urls = lake_lists.files(s3, settings.bucket, contract.feed, day, day)
    sizes = lake_lists.sizes_of(s3, settings.bucket, contract.feed, day)
    if missing := [url for url in urls if url not in sizes]:
        raise PermanentError(
            f"{missing[0]} is in the list of feed {contract.feed} of {day}, and not in S3: restore it, or "
            "clean its batch again"
        )
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
    dynamodb: Any, session: Any, contract: Contract, day: str, settings: Settings, now: datetime
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
    if lacking := _not_in_items(dynamodb, f"{settings.stack_prefix}-invoices", sample):
        text = f"{len(lacking)} of {len(sample)} events are in no item"
        found.append(Difference(contract.feed, "dynamodb", day, text, events=lacking[:NAMED]))
    return found


def _not_in_items(dynamodb: Any, table: str, sample: list[tuple[Any, ...]]) -> list[str]:
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


# -- delays -----------------------------------------------------------------------------------------------------------


def watch(cloudwatch: Any, s3: Any, settings: Settings, now: datetime) -> list[Difference]:
    """Returns differences for batches that stay uncommitted, and for consumers that lag behind the stream."""
    limit = now - timedelta(minutes=settings.stuck_batch_minutes)
    stuck = [batch_id for batch_id in open_batches(s3, settings.bucket) if _claimed_at(batch_id) < limit]
    found = []
    if stuck:
        text = f"{len(stuck)} batches were claimed more than {settings.stuck_batch_minutes} minutes ago"
        found.append(Difference("*", "staging audit", "", text, [OPEN + batch_id for batch_id in stuck[:NAMED]]))
    for consumer in ("raw-writer", "dynamodb-writer"):
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="IteratorAge",
            Statistics=["Maximum"],
            Period=60,
            Dimensions=[{"Name": "FunctionName", "Value": f"{settings.stack_prefix}-{consumer}"}],
            StartTime=now - timedelta(minutes=5),
            EndTime=now,
        )["Datapoints"]
        age = max((point["Maximum"] for point in points), default=0) / 1000
        if age > settings.consumer_lag_seconds:
            found.append(Difference("*", consumer, "", f"reads the stream {age:.0f} seconds late"))
    return found


def _claimed_at(batch_id: str) -> datetime:
    assert BATCH_ID.match(batch_id)
    return datetime.strptime(batch_id.removesuffix("-replay").rsplit("-", 2)[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def put_metrics(
    cloudwatch: Any,
    summaries: Iterable[dict[str, Any]],
    differences: list[Difference],
    settings: Settings,
    now: datetime,
) -> None:
    """Publishes metrics by feed in the namespace `<prefix>`.

    They are Differences, WaitingObjects, OldestWaitingSeconds and FreshnessSeconds. Differences also has a total.
    """
    data = []
    for summary in summaries:
        feed = summary["feed"]
        values = {
            "Differences": sum(d.feed == feed for d in differences),
            "WaitingObjects": summary["waiting"],
            "OldestWaitingSeconds": summary["oldest_waiting_seconds"],
        }
        if summary["newest"]:
            values["FreshnessSeconds"] = round((now - datetime.fromisoformat(summary["newest"])).total_seconds())
        data += [
            {"MetricName": name, "Dimensions": [{"Name": "Feed", "Value": feed}], "Timestamp": now, "Value": value}
            for name, value in values.items()
        ]
    data.append({"MetricName": "Differences", "Timestamp": now, "Value": len(differences)})
    cloudwatch.put_metric_data(Namespace=settings.stack_prefix, MetricData=data)
