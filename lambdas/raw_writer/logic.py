"""From a batch of Kinesis records to the objects of raw/: pure, without I/O.

An object's key and bytes depend on its records alone, so a Lambda that is retried writes its own objects again.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ecommerce_events.envelope import NotAnEnvelope, read_envelope

# Level 1 packs JSON lines to a seventh at five times the speed of level 9.
GZIP_LEVEL = 1


@dataclass(frozen=True)
class RawFile:
    """One object to write: its records lie between the first and last sequence number, on one shard."""

    key: str
    body: bytes
    first_sequence_number: str
    records: int


@dataclass
class _Group:
    first: Mapping[str, Any]
    last: Mapping[str, Any]
    lines: list[bytes] = field(default_factory=list)


def envelope_line(payload: bytes) -> tuple[str, bytes]:
    """Returns (feed, the record as one line) of a Kinesis record's data.

    The line is the record byte for byte, unless it spans lines; then it is the same JSON without the line breaks.

    Raises:
        NotAnEnvelope: says which key is wrong and what was expected.
    """
    feed = read_envelope(payload)["feed"]
    # JSON allows line breaks only between tokens, so taking them out changes nothing.
    return feed, payload.strip().replace(b"\r", b"").replace(b"\n", b"")


def files_of(records: Iterable[Mapping[str, Any]]) -> list[RawFile]:
    """Returns the objects for one invocation's Kinesis records, ordered by their first sequence number.

    One object per feed, and one for what is no envelope:
    `raw/feed=F/dt=YYYY-MM-DD/hour=HH/<shard>-<first seq>-<last seq>.jsonl.gz`, one envelope a line, and
    `quarantine/unreadable/dt=.../hour=.../<same>.jsonl.gz`, one {reason, data, sequence_number, ...} a line.
    """
    groups: dict[str, _Group] = {}
    for record in records:
        payload = base64.b64decode(record["kinesis"]["data"])
        try:
            feed, line = envelope_line(payload)
            prefix = f"raw/feed={feed}"
        except NotAnEnvelope as error:
            prefix, line = "quarantine/unreadable", _unreadable(record, payload, str(error))
        group = groups.setdefault(prefix, _Group(record, record))
        group.last = record
        group.lines.append(line)
    files = [_file(prefix, group) for prefix, group in groups.items()]
    return sorted(files, key=lambda file: int(file.first_sequence_number))


def _unreadable(record: Mapping[str, Any], payload: bytes, reason: str) -> bytes:
    try:
        content: dict[str, str] = {"data": payload.decode("utf-8")}
    except UnicodeDecodeError:
        content = {"data_base64": base64.b64encode(payload).decode()}
    kinesis = record["kinesis"]
    kept = {
        "stage": "raw_writer",
        "reason": reason,
        "event_source_id": record["eventID"],
        "partition_key": kinesis["partitionKey"],
        "arrived_at": kinesis["approximateArrivalTimestamp"],
        **content,
    }
    return json.dumps(kept, separators=(",", ":")).encode()


def _file(prefix: str, group: _Group) -> RawFile:
    first, last = group.first["kinesis"]["sequenceNumber"], group.last["kinesis"]["sequenceNumber"]
    shard = group.first["eventID"].split(":", 1)[0]
    arrived = datetime.fromtimestamp(group.first["kinesis"]["approximateArrivalTimestamp"], UTC)
    key = f"{prefix}/dt={arrived:%Y-%m-%d}/hour={arrived:%H}/{shard}-{first}-{last}.jsonl.gz"
    body = gzip.compress(b"\n".join(group.lines) + b"\n", GZIP_LEVEL, mtime=0)
    return RawFile(key, body, first, len(group.lines))
