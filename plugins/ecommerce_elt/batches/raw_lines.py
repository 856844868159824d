"""Lines of raw/ from landed files: reads their event id and version, and changes the version, without JSON parsing."""

from __future__ import annotations

import re

# The beginning of the envelopes that `events.envelope` writes.
_HEAD = re.compile(
    rb'(\{"event_id":"(?P<id>[^"\\]+)","feed":"[a-z0-9_]+","schema_version":\d+,)(?:"event_version":(?P<version>\d+),)?'
)


def event_id_of(line: bytes) -> str:
    """Returns the event id of a line of raw/ from a landed file, or an empty text for any other line."""
    found = _HEAD.match(line)
    return found["id"].decode() if found else ""


def version_of(line: bytes) -> int:
    """Returns the event_version of a line of raw/ from a landed file, or 1 for any other line."""
    found = _HEAD.match(line)
    return int(found["version"] or 1) if found else 1


def in_version(line: bytes, version: int) -> bytes:
    """Returns the line of raw/ with another version of its event."""
    return _HEAD.sub(rb'\g<1>"event_version":%d,' % version, line, count=1)
