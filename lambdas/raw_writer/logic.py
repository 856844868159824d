"""From a batch of Kinesis records to the objects of raw/: pure, without I/O.

An object's key and bytes depend on its records alone, so a Lambda that is retried writes its own objects again.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

FEED = re.compile(r"[a-z][a-z0-9_]{0,62}")
EVENT_ID_MAX_BYTES = 128  # staging and core keep it in a VARCHAR(128)
SCHEMA_VERSION_MAX = 2**31 - 1
# Level 1 packs JSON lines to a seventh at five times the speed of level 9.
GZIP_LEVEL = 1


class NotAnEnvelope(ValueError):  # noqa: N818  # what the record is, not what went wrong here
    """The record is no envelope; the message is the reason, without the record's content."""


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


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotAnEnvelope("a JSON object has a key twice")
    return found


def _no_constant(name: str) -> None:
    raise NotAnEnvelope(f"{name} is no JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def envelope_line(payload: bytes) -> tuple[str, bytes]:
    """Returns (feed, the record as one line) of a Kinesis record's data.

    The line is the record byte for byte, unless it spans lines; then it is the same JSON without the line breaks.

    Raises:
        NotAnEnvelope: says which key is wrong and what was expected.
    """
    try:
        text = payload.decode("utf-8")
        record = _decoder.decode(text)
    except UnicodeDecodeError as error:
        raise NotAnEnvelope(f"not UTF-8 at byte {error.start}") from error
    except NotAnEnvelope:
        raise
    except json.JSONDecodeError as error:
        raise NotAnEnvelope(f"not JSON: {error.msg} at character {error.pos}") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of thousands of digits
        raise NotAnEnvelope(f"not JSON that can be read: {error}") from error
    if not isinstance(record, dict):
        raise NotAnEnvelope(f"expected a JSON object, found {type(record).__name__}")
    event_id, feed = record.get("event_id"), record.get("feed")
    version, event_time = record.get("schema_version"), record.get("event_time")
    if not isinstance(event_id, str) or not 1 <= len(event_id.encode("utf-8", "replace")) <= EVENT_ID_MAX_BYTES:
        raise NotAnEnvelope(f"event_id: expected a text of 1 to {EVENT_ID_MAX_BYTES} bytes")
    if not isinstance(feed, str) or not FEED.fullmatch(feed):
        raise NotAnEnvelope("feed: expected lower-case letters, digits and underscores, at most 63")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION_MAX:
        raise NotAnEnvelope("schema_version: expected a whole number from 1")
    if event_time is not None and not isinstance(event_time, str):
        raise NotAnEnvelope("event_time: expected an ISO 8601 time as text, or null")
    if not isinstance(record.get("sent_at"), str):
        raise NotAnEnvelope("sent_at: expected an ISO 8601 time as text")
    if not isinstance(record.get("data"), dict):
        raise NotAnEnvelope("data: expected a JSON object")
    if "\\u" in text:
        # A lone surrogate is a legal escape but no character; the engines that read raw/ would reject the whole object.
        try:
            json.dumps(record, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise NotAnEnvelope("a \\u escape is half of a surrogate pair") from error
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
