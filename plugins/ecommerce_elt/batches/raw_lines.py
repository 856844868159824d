"""Lines of raw/ that a landed file gave: their event id, and the same event in another version, without reading the JSON."""

from __future__ import annotations

import re

# How our own envelopes begin: `events.envelope`.
_HEAD = re.compile(
    rb'(\{"event_id":"(?P<id>[^"\\]+)","feed":"[a-z0-9_]+","schema_version":\d+,)(?:"event_version":(?P<version>\d+),)?'
)


def event_id_of(line: bytes) -> str:
    """Returns the event id of a line of raw/ that a landed file gave; nothing of any other line."""
    found = _HEAD.match(line)
    return found["id"].decode() if found else ""


def version_of(line: bytes) -> int:
    """Returns the event_version of such a line."""
    found = _HEAD.match(line)
    return int(found["version"] or 1) if found else 1


def in_version(line: bytes, version: int) -> bytes:
    """Returns the line of raw/ as another version of its event."""
    return _HEAD.sub(rb'\g<1>"event_version":%d,' % version, line, count=1)
