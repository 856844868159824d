"""Counts the events of each hour of arrival independently in every layer, and compares the counts. See docs/adr/0022.

By feed and hour, it compares the lines in raw/, the counts that loads committed, and the rows in quarantine. An hour
that is over and has no difference is sealed. It is counted again only if an object arrives later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ecommerce_elt.batches.manifests import RawObject, feed_of, open_batches, read_manifest
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.reconcile.arrivals import KEPT_DAYS, counted, folder_of, objects_by_hour
from ecommerce_elt.reconcile.differences import NAMED, Difference, keep_hour, utc
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, render

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import ObjectTypeDef

LANDED_SUFFIX = ".ndjson.gz"  # suffix of raw objects of landed files


@dataclass(frozen=True)
class Hour:
    """What was found in one hour of arrival.

    Args:
        counts: the counts by column of ops.reconciliation; `waiting` counts the objects that are in no committed batch.
        oldest_waiting_seconds: the age of the oldest of these.
        unclaimed: the overdue objects that are in no batch.
        differences: the differences.
    """

    counts: dict[str, int]
    oldest_waiting_seconds: float
    unclaimed: list[RawObject]
    differences: list[Difference]


class _Known(NamedTuple):
    """An hour that was counted before."""

    is_sealed: bool
    counted_at: datetime
    objects: int

    def is_of(self, found: Collection[ObjectTypeDef]) -> bool:
        """Returns whether the hour is sealed, and no object came or went since it was counted."""
        is_same = self.objects == len(found) and all(entry["LastModified"] < self.counted_at for entry in found)
        return self.is_sealed and is_same


class _Loaded(NamedTuple):
    """The counts that loads committed for one object."""

    accepted: int
    clean: int
    quarantined: int
    duplicates: int


def reconcile_hours(
    s3: S3Client, target: Warehouse, feed: str, settings: Settings, now: datetime
) -> tuple[dict[str, Any], list[Difference], list[RawObject]]:
    """Counts the feed's unsealed hours, and stores the counts in ops.reconciliation.

    Returns:
        A summary, the differences, and the overdue raw objects that are in no batch.
    """
    settled = now - timedelta(minutes=settings.reconcile_settle_minutes)
    since = (now - timedelta(days=KEPT_DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    known = _known_hours(target, feed, since, settings)
    objects = objects_by_hour(s3, settings.bucket, feed, since, now)
    contract = load_contracts(settings.include_dir / "feeds").get(feed)
    results: list[Hour] = []
    for hour in sorted(objects.keys() | known.keys()):
        found = objects.get(hour, [])
        if hour in known and known[hour].is_of(found):
            continue
        result = _count_hour(s3, target, feed, hour, found, settings, settled, contract)
        is_over = hour + timedelta(hours=1) < settled
        is_sealed = is_over and not result.differences and not result.counts["waiting"]
        keep_hour(target, feed, hour, result.counts, result.differences, settings, now, is_sealed=is_sealed)
        results.append(result)
    newest = max((entry["LastModified"] for found in objects.values() for entry in found), default=None)
    differences = [difference for result in results for difference in result.differences]
    differences += _check_batches(target, feed, since, settings)
    if contract:
        differences += [*_check_core(target, contract, settings), *_check_silence(contract, newest, now)]
    summary = {
        "feed": feed,
        "hours": len(objects),
        "waiting": sum(result.counts["waiting"] for result in results),
        "oldest_waiting_seconds": round(max((result.oldest_waiting_seconds for result in results), default=0)),
        "newest": newest.isoformat() if newest else None,
        "differences": len(differences),
    }
    return summary, differences, [raw for result in results for raw in result.unclaimed]


def _known_hours(target: Warehouse, feed: str, since: datetime, settings: Settings) -> dict[datetime, _Known]:
    sql = (settings.sql_dir / "ops/reconciliation/known.sql").read_text("utf-8")
    rows = target.query(sql, {"feed": feed, "since": f"{since:%Y-%m-%d %H:%M:%S}"})
    return {
        utc(hour): _Known(sealed in {True, "true", "t"}, utc(counted_at), objects)
        for hour, sealed, counted_at, objects in rows
    }


def _count_hour(
    s3: S3Client,
    target: Warehouse,
    feed: str,
    hour: datetime,
    objects: list[ObjectTypeDef],
    settings: Settings,
    settled: datetime,
    contract: Contract | None,
) -> Hour:
    folder, sql = folder_of(feed, hour), settings.sql_dir / "ops/reconcile"
    between = {"feed": feed, "first_key": folder, "last_key": folder + "~"}
    lines = {key: count.lines for key, count in counted(s3, settings.bucket, feed, hour, objects).items()}
    rows = target.query((sql / "objects.sql").read_text("utf-8"), between)
    loaded = {key: _Loaded(*map(int, counts)) for key, *counts in rows}
    rows = target.query((sql / "quarantine.sql").read_text("utf-8"), between)
    rejected = {key: int(number) for key, number in rows}
    missing = {entry["Key"]: entry["LastModified"] for entry in objects if entry["Key"] not in loaded}
    late = {key for key, written in missing.items() if written < settled}
    in_open = _in_open_batches(s3, settings.bucket, feed) if late else set()
    # Only load_history checks whether core has rows of landed files under other ids, so load_events must not load them.
    has_rows = contract is not None and contract.identity != "file"
    held = {key for key in late - in_open if has_rows and key.endswith(LANDED_SUFFIX)}
    unclaimed = late - in_open - held
    audit, where = "staging audit", f"{hour:%Y-%m-%dT%H:00Z}"
    found = (
        (audit, "objects of raw/ in no batch: load_events is behind, or their notification was lost", unclaimed),
        (audit, "objects of landed files that are not loaded: load_history stopped, and waits for on_known", held),
        (audit, "objects of raw/ in a batch that does not get committed", late & in_open),
        *_disagreeing(lines, loaded, rejected),
    )
    return Hour(
        counts={
            "objects": len(objects),
            "raw": sum(lines.values()),
            **{name: sum(getattr(count, name) for count in loaded.values()) for name in _Loaded._fields},
            "quarantine_rows": sum(rejected.values()),
            "waiting": len(missing),
        },
        oldest_waiting_seconds=(datetime.now(UTC) - min(missing.values())).total_seconds() if missing else 0,
        unclaimed=[RawObject.listed(entry, settings.bucket) for entry in objects if entry["Key"] in unclaimed],
        differences=[
            Difference(feed, layer, where, f"{len(keys)} {text}", sorted(keys)[:NAMED])
            for layer, text, keys in found
            if keys
        ],
    )


def _disagreeing(
    lines: Mapping[str, int], loaded: Mapping[str, _Loaded], rejected: Mapping[str, int]
) -> Iterator[tuple[str, str, Collection[str]]]:
    """Yields a layer, what is wrong with it, and the keys of the objects for which its counts disagree with others."""
    yield "raw", "objects that were loaded are gone", loaded.keys() - lines.keys()
    yield (
        "staging audit",
        "objects of which not all lines were accepted",
        [
            f"{key} ({lines[key]} lines, {loaded[key].accepted} accepted)"
            for key in loaded.keys() & lines.keys()
            if lines[key] != loaded[key].accepted
        ],
    )
    yield (
        "staging audit",
        "objects whose events are not all clean, quarantined or duplicates",
        [key for key, (accepted, *parts) in loaded.items() if accepted != sum(parts)],
    )
    yield (
        "quarantine",
        "objects whose rejected events are not all in ops.quarantine_reason",
        [
            f"{key} ({count.quarantined} rejected, {rejected.get(key, 0)} there)"
            for key, count in loaded.items()
            if count.quarantined != rejected.get(key, 0)
        ],
    )


def _in_open_batches(s3: S3Client, bucket: str, feed: str) -> set[str]:
    batches = [batch_id for batch_id in open_batches(s3, bucket) if feed_of(batch_id) == feed]
    return {raw.key for batch_id in batches for raw in read_manifest(s3, bucket, batch_id).objects}


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


def _check_silence(contract: Contract, newest: datetime | None, now: datetime) -> list[Difference]:
    minutes = (now - newest).total_seconds() / 60 if newest else 0
    if contract.max_silence_minutes is None or minutes <= contract.max_silence_minutes:
        return []
    expected = f"the contract expects something every {contract.max_silence_minutes}"
    return [Difference(contract.feed, "raw", "", f"nothing arrived for {minutes:.0f} minutes; {expected}")]
