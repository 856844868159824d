"""Replays quarantined events: chosen by their errors, read from raw/, and cleaned with the current contract and SQL.

A replay is a batch like any other. Its manifest names the chosen lines of raw objects, and its load closes the events
that are now clean (ops.quarantine_closed). Events that core already has are duplicates, so a replay is idempotent.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from more_itertools import constrained_batches

from ecommerce_elt.batches.clean_files import S3_THREADS
from ecommerce_elt.batches.manifests import UNREADABLE, Manifest, RawObject, new_manifest
from ecommerce_elt.cleaning.cleaner import download, run_cleaning
from ecommerce_elt.cleaning.engine import engine_of
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

EXAMPLES = 10
ANY = "any"
LONG_AGO, LONG_AHEAD = "1970-01-01 00:00:00", "2200-01-01 00:00:00"


@dataclass(frozen=True)
class Choice:
    """Conditions that choose open events; `any` and None mean no condition. Times are those of the first rejection."""

    feed: str = ANY
    column: str = ANY
    rule: str = ANY
    batch_id: str = ANY
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, params: dict[str, Any]) -> Choice:
        """Returns the choice that a run's parameters describe.

        Raises:
            PermanentError: a parameter is not a time in ISO 8601.
        """

        def time(name: str) -> datetime | None:
            try:
                found = datetime.fromisoformat(params[name]) if params[name] else None
            except ValueError as error:
                raise PermanentError(
                    f"{name} is {params[name]!r}, expected ISO 8601 such as 2026-01-31T00:00:00Z"
                ) from error
            return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found

        words = {name: str(params[name] or ANY) for name in ("feed", "column", "rule", "batch_id")}
        return cls(**words, since=time("since"), until=time("until"))

    @property
    def values(self) -> dict[str, str]:
        """The parameters of the SQL."""

        def text(moment: datetime | None, otherwise: str) -> str:
            return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else otherwise

        return {
            "feed": self.feed,
            "column_name": self.column,
            "rule": self.rule,
            "batch_id": self.batch_id,
            "since": text(self.since, LONG_AGO),
            "until": text(self.until, LONG_AHEAD),
        }


@dataclass
class Outlook:
    """The expected result of a replay, in counts of events. `examples` contain no values of events."""

    chosen: int = 0
    clean: int = 0
    rejected: int = 0
    gone: int = 0
    still_broken: dict[str, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)


def choose(
    s3: S3Client, target: Warehouse, choice: Choice, settings: Settings, now: datetime
) -> tuple[list[Manifest], int]:
    """Returns manifests of the chosen events, and the number of chosen events that raw/ no longer has.

    The same choice at the same time gives the same manifests. Records that are not envelopes are left out, because no
    contract can make events of them.
    """
    sql = (settings.sql_dir / "ops/quarantine/choose.sql").read_text("utf-8")
    by_feed: dict[str, dict[str, list[int]]] = {}
    for feed, source_object, source_line in target.query(sql, choice.values):
        if feed != UNREADABLE:
            by_feed.setdefault(feed, {}).setdefault(source_object, []).append(int(source_line))
    manifests, gone = [], 0
    for feed, lines in sorted(by_feed.items()):
        with ThreadPoolExecutor(S3_THREADS) as pool:
            found = list(pool.map(lambda key: _head(s3, settings.bucket, key), sorted(lines)))
        objects = [raw for raw in found if raw]
        gone += sum(len(numbers) for numbers in lines.values()) - sum(len(lines[raw.key]) for raw in objects)
        for some in constrained_batches(
            objects, settings.batch_max_bytes, settings.batch_max_objects, get_len=lambda raw: raw.size, strict=False
        ):
            manifests.append(new_manifest(feed, some, now, {raw.key: sorted(lines[raw.key]) for raw in some}))
    return manifests, gone


def _head(s3: S3Client, bucket: str, key: str) -> RawObject | None:
    try:
        head = s3.head_object(Bucket=bucket, Key=key)
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in {"404", "NoSuchKey"}:
            raise
        return None
    return RawObject(key, head["ETag"].strip('"'), head["ContentLength"], bucket)


def write_manifests(s3: S3Client, manifests: list[Manifest], settings: Settings) -> list[str]:
    """Writes the manifests and returns the ids of their batches."""
    for manifest in manifests:
        s3.put_object(Bucket=settings.bucket, Key=f"manifests/{manifest.batch_id}.json", Body=manifest.to_json())
    return [manifest.batch_id for manifest in manifests]


def outlook(s3: S3Client, manifests: list[Manifest], gone: int, settings: Settings) -> Outlook:
    """Returns the expected result of a replay of the manifests. Nothing is written."""
    found = Outlook(chosen=gone, gone=gone)
    broken: Counter[str] = Counter()
    for manifest in manifests:
        for row in _cleaned(s3, manifest, settings):
            found.chosen += 1
            found.clean += not row["reasons"]
            found.rejected += bool(row["reasons"])
            broken.update(f"{manifest.feed}.{reason}" for reason in row["reasons"])
            if len(found.examples) < EXAMPLES:
                found.examples.append({"feed": manifest.feed, **row, "now": ", ".join(row["reasons"]) or "clean"})
    for example in found.examples:
        del example["reasons"]
    found.still_broken = dict(broken.most_common(EXAMPLES))
    return found


def _cleaned(s3: S3Client, manifest: Manifest, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yields event_id, source_object, source_line and reasons ("column: rule") of each event of the manifest."""
    contract = load_contracts(settings.include_dir / "feeds").get(manifest.feed)
    with (
        tempfile.TemporaryDirectory(prefix="outlook-", dir=settings.work_dir) as folder,
        engine_of(settings, Path(folder)) as engine,
    ):
        files = download(s3, manifest.objects, Path(folder) / "raw")
        run_cleaning(engine, files, manifest.feed, contract, settings, lines=manifest.lines)
        rows = engine.execute(
            "SELECT event_id, source_object, source_line, [r.column_name || ': ' || r.rule FOR r IN reasons] AS reasons "
            "FROM cleaned ORDER BY source_object, source_line"
        )
        names = [column[0] for column in rows.description]
        while some := rows.fetchmany(10_000):
            yield from (dict(zip(names, row, strict=True)) for row in some)


def dismiss(target: Warehouse, choice: Choice, settings: Settings, run_id: str) -> None:
    """Closes the chosen events without a replay. The reasons and the records in raw/ are kept."""
    sql = (settings.sql_dir / "ops/quarantine/dismiss.sql").read_text("utf-8")
    target.run([sql], choice.values | {"run_id": run_id[:128]}, name="dismiss quarantine")


def count(target: Warehouse, choice: Choice, settings: Settings) -> int:
    """Returns the number of open events that the choice matches."""
    sql = (settings.sql_dir / "ops/quarantine/choose.sql").read_text("utf-8")
    return len(target.query(sql, choice.values))
