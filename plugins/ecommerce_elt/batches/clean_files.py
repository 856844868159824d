"""The files of a cleaned batch, which all engines write alike. Glue imports this, so it needs only pyarrow and boto3.

All keys derive from the batch id, so that a retry overwrites its own files:

    clean/feed=F/dt=<event date>/<batch id>.parquet        the rows, sorted by event time
    quarantine/feed=F/dt=<arrival date>/<batch id>.parquet  rejected events: ids, reasons, position in raw/
    manifests/<batch id>/objects.jsonl, copy.json, quarantine/, withdrawn/  input of COPY
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecommerce_elt.batches.manifests import Manifest, RawObject, is_withdrawal
from ecommerce_elt.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

S3_THREADS = 8
COUNTS = ("accepted", "clean", "quarantined", "duplicates")
_REASON = pa.struct([("column_name", pa.string()), ("rule", pa.string()), ("expected", pa.string())])
QUARANTINE = pa.schema(
    [
        ("event_id", pa.string()),
        ("feed", pa.string()),
        ("stage", pa.string()),
        ("event_time", pa.timestamp("us")),
        ("event_version", pa.int32()),
        ("reasons", pa.list_(_REASON)),
        ("source_object", pa.string()),
        ("source_line", pa.int32()),
        ("batch_id", pa.string()),
    ]
)
KEYS_NAMED = 10
_ARRIVAL = re.compile(r"/dt=([^/]+)/")
_LANDED = re.compile(r"/landed-(\d{8}T\d{6}Z)-")


@dataclass(frozen=True)
class CleanBatch:
    """Event counts of a cleaned batch, and the cleaning that made its files (stages.cleaned_by)."""

    batch_id: str
    feed: str
    accepted: int
    clean: int
    quarantined: int
    duplicates: int
    cleaned_by: str = ""
    rounded: int = 0  # clean events with a value that was rounded to fewer decimals
    withdrawn: int = 0  # clean events that withdraw an event, and so have no row

    @property
    def rows(self) -> int:
        """Number of rows in the clean files of the batch."""
        return self.clean - self.withdrawn


def get_raw(s3: S3Client, raw: RawObject) -> Any:
    """Returns the response of GetObject for an object of a manifest.

    Raises:
        PermanentError: the object was deleted or changed since the batch was claimed.
    """
    try:
        response = s3.get_object(Bucket=raw.bucket, Key=raw.key)
    except s3.exceptions.NoSuchKey as error:
        raise PermanentError(
            f"s3://{raw.bucket}/{raw.key} is gone since the batch was claimed; restore it, or give the batch up: "
            "docs/runbooks/cleaning-fails.md"
        ) from error
    if (etag := response["ETag"].strip('"')) != raw.etag:
        raise PermanentError(
            f"s3://{raw.bucket}/{raw.key}: etag was {raw.etag} when the batch was claimed and is {etag} now; "
            "objects in raw/ never change. Restore that version, then clear this task"
        )
    return response


def download_raw(s3: S3Client, raw: RawObject, path: Path) -> None:
    """Writes an object of a manifest to `path`.

    Raises:
        PermanentError: as in `get_raw`.
        TransientError: S3 delivered only a part of the object.
    """
    response = get_raw(s3, raw)
    with path.open("wb") as file:
        for chunk in response["Body"].iter_chunks(1024**2):
            file.write(chunk)
    if path.stat().st_size != response["ContentLength"]:
        raise TransientError(
            f"s3://{raw.bucket}/{raw.key}: got {path.stat().st_size} bytes of {response['ContentLength']}"
        )


def write_clean(
    s3: S3Client, bucket: str, manifest: Manifest, batches: Iterable[pa.RecordBatch], work: Path
) -> list[tuple[str, int]]:
    """Writes rows sorted by event_time to one Parquet file per event date, and returns (key, bytes) of each file."""
    files = (
        (f"clean/feed={manifest.feed}/dt={date}/{manifest.batch_id}.parquet", path)
        for date, path in split_by_date(batches, work)
    )
    return _upload(s3, bucket, files)


def write_quarantine(
    s3: S3Client, bucket: str, manifest: Manifest, rows: pa.Table, work: Path
) -> list[tuple[str, int]]:
    """Writes the rejected events (QUARANTINE) and returns (key, bytes) of each file.

    There is one Parquet file per arrival date. For COPY, there is also one file of JSON lines per date under the
    manifest's prefix, with one line for each reason of an event.
    """
    if not rows.num_rows:
        return []
    rows = rows.cast(QUARANTINE)
    arrived = pa.array([_ARRIVAL.search(key)[1] for key in rows["source_object"].to_pylist()])  # type: ignore[index]
    as_texts = rows.set_column(rows.schema.get_field_index("event_time"), "event_time", _as_text(rows["event_time"]))
    files = []
    for date in pc.unique(arrived).to_pylist():
        path = work / f"quarantine-{date}.parquet"
        pq.write_table(rows.filter(pc.equal(arrived, date)), path)
        files.append((f"quarantine/feed={manifest.feed}/dt={date}/{manifest.batch_id}.parquet", path))
        reasons = work / f"reasons-{date}.jsonl"
        with reasons.open("w", encoding="utf-8") as out:
            for row in as_texts.filter(pc.equal(arrived, date)).to_pylist():
                event = {name: value for name, value in row.items() if name != "reasons"}
                out.writelines(json.dumps(event | reason) + "\n" for reason in row["reasons"])
        files.append((f"manifests/{manifest.batch_id}/quarantine/{date}.jsonl", reasons))
    return _upload(s3, bucket, files)


def _as_text(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns the times as text for COPY, with NULL for years that a date cannot have.

    The time of a rejected event may be in any year.
    """
    first, end = (pa.scalar(datetime(year, 1, 1), times.type) for year in (1, 9999))
    possible = pc.and_(pc.greater_equal(times, first), pc.less(times, end))
    return pc.if_else(possible, times, pa.scalar(None, times.type)).cast(pa.string())


def write_withdrawn(s3: S3Client, bucket: str, manifest: Manifest, rows: pa.Table) -> None:
    """Writes the batch's withdrawals for COPY.

    A line has event_id, event_version, event_time, source_object and landed_at, which is the landing time of the file
    that lacks the event.
    """
    times = rows["event_time"].cast(pa.timestamp("us")).cast(pa.string())
    found = rows.set_column(rows.schema.get_field_index("event_time"), "event_time", times).to_pylist()
    landed = (datetime.strptime(_LANDED.search(row["source_object"])[1], "%Y%m%dT%H%M%SZ") for row in found)  # type: ignore[index]
    body = "".join(json.dumps(row | {"landed_at": str(at)}) + "\n" for row, at in zip(found, landed, strict=True))
    s3.put_object(Bucket=bucket, Key=f"manifests/{manifest.batch_id}/withdrawn/events.jsonl", Body=body.encode())


def write_copy_manifest(s3: S3Client, bucket: str, manifest: Manifest, written: Iterable[tuple[str, int]]) -> None:
    """Writes the COPY manifest: Redshift guide, "Using a manifest to specify data files"."""
    entries = [
        {"url": f"s3://{bucket}/{key}", "mandatory": True, "meta": {"content_length": size}}
        for key, size in sorted(written)
    ]
    body = json.dumps({"entries": entries}).encode()
    s3.put_object(Bucket=bucket, Key=f"manifests/{manifest.batch_id}/copy.json", Body=body)


def write_counts(
    s3: S3Client,
    bucket: str,
    manifest: Manifest,
    by_object: Mapping[str, Mapping[str, int]],
    *,
    rounded: Mapping[str, int],
    unknown_keys: Iterable[tuple[str, int]],
    cleaned_by: str,
) -> CleanBatch:
    """Writes the counts of each object and returns those of the batch.

    Args:
        s3: boto3 client.
        bucket: the bucket of the lake.
        manifest: the manifest of the batch.
        by_object: the counts of COUNTS by object key; an object without events may be missing.
        rounded: number of clean events with a rounded value by object key; an object without any may be missing.
        unknown_keys: keys in `extra` that the contract does not know, with the number of clean events that have them.
        cleaned_by: hash of the cleaning, as from `stages.cleaned_by`.

    Raises:
        PermanentError: the counts do not add up to the accepted events, or an object is not in the manifest.
    """
    if strange := by_object.keys() - {raw.key for raw in manifest.objects}:
        raise PermanentError(
            f"batch {manifest.batch_id}: events of {sorted(map(str, strange))[:3]}, which its manifest has not"
        )
    none = dict.fromkeys(COUNTS, 0)
    lines = [
        {
            "batch_id": manifest.batch_id,
            "feed": manifest.feed,
            "object_key": raw.key,
            "etag": raw.etag,
            "cleaned_by": cleaned_by,
            **by_object.get(raw.key, none),
            "rounded": rounded.get(raw.key, 0),
        }
        for raw in manifest.objects
    ]
    named = dict(sorted(unknown_keys, key=lambda found: (-found[1], found[0]))[:KEYS_NAMED])
    s3.put_object(Bucket=bucket, Key=_unknown_keys(manifest.batch_id), Body=json.dumps(named).encode())
    body = "".join(json.dumps(line) + "\n" for line in lines)
    # Written last, because a batch with counts is regarded as cleaned.
    s3.put_object(Bucket=bucket, Key=f"manifests/{manifest.batch_id}/objects.jsonl", Body=body.encode())
    return _total(manifest.batch_id, manifest.feed, lines)


def _unknown_keys(batch_id: str) -> str:
    return f"manifests/{batch_id}/unknown_keys.json"


def read_unknown_keys(s3: S3Client, bucket: str, batch_id: str) -> dict[str, int]:
    """Returns the most frequent keys that the contract does not know, with the number of events that have them."""
    found: dict[str, int] = json.loads(s3.get_object(Bucket=bucket, Key=_unknown_keys(batch_id))["Body"].read())
    return found


def read_counts(s3: S3Client, bucket: str, batch_id: str, feed: str) -> CleanBatch:
    """Returns the counts that the cleaning of the batch wrote.

    Raises:
        PermanentError: the counts do not add up to the accepted events.
    """
    return _total(batch_id, feed, read_object_counts(s3, bucket, batch_id))


def read_object_counts(s3: S3Client, bucket: str, batch_id: str) -> list[dict[str, Any]]:
    """Returns object_key, etag, cleaned_by, rounded and each of COUNTS of every raw object of a cleaned batch."""
    body = s3.get_object(Bucket=bucket, Key=f"manifests/{batch_id}/objects.jsonl")["Body"].read()
    return [json.loads(line) for line in body.splitlines()]


def find_counts(s3: S3Client, bucket: str, batch_id: str, feed: str) -> CleanBatch | None:
    """Returns the counts of a batch as in `read_counts`, or None if it is not cleaned."""
    try:
        return read_counts(s3, bucket, batch_id, feed)
    except s3.exceptions.NoSuchKey:
        return None


def _total(batch_id: str, feed: str, lines: list[dict[str, Any]]) -> CleanBatch:
    counts = {name: sum(line[name] for line in lines) for name in COUNTS}
    rounded = sum(line.get("rounded", 0) for line in lines)  # missing in files of earlier releases
    withdrawn = sum(line["clean"] for line in lines if is_withdrawal(line["object_key"]))
    made_by = lines[0]["cleaned_by"] if lines else ""
    batch = CleanBatch(batch_id, feed, **counts, cleaned_by=made_by, rounded=rounded, withdrawn=withdrawn)
    if batch.accepted != batch.clean + batch.quarantined + batch.duplicates:
        raise PermanentError(f"batch {batch_id} does not conserve its events: {batch}")
    return batch


def split_by_date(batches: Iterable[pa.RecordBatch], work: Path) -> Iterator[tuple[str, Path]]:
    """Yields (date, closed file) for a stream of rows sorted by event_time."""
    writer: pq.ParquetWriter | None = None
    current: tuple[str, Path] | None = None
    for batch in batches:
        runs = pc.run_end_encode(batch.column("event_time").cast(pa.date32(), safe=False))
        start = 0
        for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            date = day.isoformat()
            if current is None or current[0] != date:
                if writer and current:
                    writer.close()
                    yield current
                current = (date, work / f"clean-{date}.parquet")
                writer = parquet_writer(current[1], batch.schema)
            assert writer is not None
            writer.write_batch(batch.slice(start, end - start))
            start = end
    if writer and current:
        writer.close()
        yield current


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Returns the writer of a clean file. It encodes times as INT96, which COPY is known to read: docs/adr/0004."""
    return pq.ParquetWriter(path, schema, use_deprecated_int96_timestamps=True)


def _upload(s3: S3Client, bucket: str, files: Iterable[tuple[str, Path]]) -> list[tuple[str, int]]:
    """Uploads the files as they are completed, deletes them locally, and returns (key, bytes) of each."""

    def put(entry: tuple[str, Path]) -> tuple[str, int]:
        key, path = entry
        size = path.stat().st_size
        with path.open("rb") as file:
            s3.put_object(Bucket=bucket, Key=key, Body=file)
        path.unlink()
        return key, size

    with ThreadPoolExecutor(S3_THREADS) as pool:
        return list(pool.map(put, files))
