"""Conversion of a batch of Kinesis records to the objects of raw/. Pure, without I/O.

The key and the bytes of an object depend only on its records, so a retried invocation writes the same objects again.
"""

from __future__ import annotations

import base64
import gzip
import json
from binascii import a2b_base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ecommerce_events.envelope import RECORD_INDEX
from ecommerce_events.records import Part, parts_of

# Level 1 compresses JSON lines to a seventh, five times as fast as level 9.
GZIP_LEVEL = 1


@dataclass(frozen=True)
class RawFile:
    """One object to write. Its lines come from the records of one shard, from a first to a last sequence number."""

    key: str
    body: bytes
    first_sequence_number: str
    lines: int


@dataclass
class _Group:
    first: Mapping[str, Any]
    last: Mapping[str, Any]
    lines: list[bytes] = field(default_factory=list)


def line_of(part: Part) -> bytes:
    """Returns the event in its envelope as one line of raw/.

    The envelope keeps the bytes that the sender wrote, except that line breaks are removed. For a bare record, the same
    is true of `data`. An event that is not the first of its record gets the key `record_index` as its first key.
    """
    # JSON allows line breaks only between tokens, so removing them changes no value.
    line = part.content.strip().replace(b"\r", b"").replace(b"\n", b"")
    if part.is_bare and part.envelope:
        head = json.dumps({key: value for key, value in part.envelope.items() if key != "data"})
        line = head[:-1].encode() + b', "data": ' + line + b"}"
    return b'{"%s": %d, ' % (RECORD_INDEX.encode(), part.record_index) + line[1:] if part.record_index else line


def files_of(records: Iterable[Mapping[str, Any]]) -> list[RawFile]:
    """Returns the objects for the Kinesis records of one invocation, ordered by their first sequence number.

    There is one object per feed, with one envelope per line:
    `raw/feed=F/dt=YYYY-MM-DD/hour=HH/<shard>-<first seq>-<last seq>.jsonl.gz`. Content that is not an event goes to one
    object with one {reason, data, event_source_id, ...} per line:
    `quarantine/unreadable/dt=.../hour=.../<same>.jsonl.gz`. Exactly one line of each record has no `record_index`,
    whatever the record holds and whichever objects its events go to.
    """
    groups: dict[str, _Group] = {}
    for record in records:
        for part in parts_of(a2b_base64(record["kinesis"]["data"]), record):
            if part.envelope:
                prefix, line = f"raw/feed={part.envelope['feed']}", line_of(part)
            else:
                prefix, line = "quarantine/unreadable", _unreadable(record, part)
            group = groups.get(prefix) or groups.setdefault(prefix, _Group(record, record))
            group.last = record
            group.lines.append(line)
    files = [_file(prefix, group) for prefix, group in groups.items()]
    return sorted(files, key=lambda file: int(file.first_sequence_number))


def _unreadable(record: Mapping[str, Any], part: Part) -> bytes:
    try:
        content: dict[str, str] = {"data": part.content.decode("utf-8")}
    except UnicodeDecodeError:
        content = {"data_base64": base64.b64encode(part.content).decode()}
    kinesis, index = record["kinesis"], part.record_index
    kept = {
        **({RECORD_INDEX: index} if index else {}),
        "stage": "raw_writer",
        "reason": part.reason,
        "event_source_id": f"{record['eventID']}:{index}" if index else record["eventID"],
        "partition_key": kinesis["partitionKey"],
        "arrived_at": kinesis["approximateArrivalTimestamp"],
        **content,
    }
    return json.dumps(kept).encode()


def _file(prefix: str, group: _Group) -> RawFile:
    first, last = group.first["kinesis"]["sequenceNumber"], group.last["kinesis"]["sequenceNumber"]
    shard = group.first["eventID"].split(":", 1)[0]
    arrived = datetime.fromtimestamp(group.first["kinesis"]["approximateArrivalTimestamp"], UTC)
    key = f"{prefix}/dt={arrived:%Y-%m-%d}/hour={arrived:%H}/{shard}-{first}-{last}.jsonl.gz"
    body = gzip.compress(b"\n".join(group.lines) + b"\n", GZIP_LEVEL, mtime=0)
    return RawFile(key, body, first, len(group.lines))
