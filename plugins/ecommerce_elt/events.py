"""The envelope in which every event travels, and the identity that makes everything idempotent."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime

import orjson

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:data-set")


def event_ids(data_set: str) -> Callable[[int], str]:
    """Returns line number to event id: UUIDv5 of (data set, line), the same on every machine and in every run.

    Args:
        data_set: names the data: by default the SHA-256 of the unpacked bytes of the file.
    """
    started = hashlib.sha1(uuid.uuid5(_NAMESPACE, data_set).bytes, usedforsecurity=False)

    def event_id(line: int) -> str:
        # uuid.uuid5(namespace, str(line)), RFC 9562, without the object: a replay makes half a million of them.
        digest = started.copy()
        digest.update(b"%d" % line)
        raw = bytearray(digest.digest()[:16])
        raw[6] = raw[6] & 0x0F | 0x50
        raw[8] = raw[8] & 0x3F | 0x80
        text = raw.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    return event_id


def envelope(
    *,
    event_id: str,
    feed: str,
    version: int,
    event_time: datetime | None,
    sent_at: str,
    data: Mapping[str, object],
    event_version: int = 1,
) -> bytes:
    """Returns the event as one line of JSON, without the line break.

    Args:
        event_time: aware, or None where the source's time could not be read; the cleaning then says so.
        sent_at: ISO 8601.
        data: the record as the source wrote it.
        event_version: above 1, it replaces what has the same event_id and a lower one.
    """
    return orjson.dumps(
        {
            "event_id": event_id,
            "feed": feed,
            "schema_version": version,
            **({"event_version": event_version} if event_version > 1 else {}),
            "event_time": event_time,
            "sent_at": sent_at,
            "data": data,
        },
        option=orjson.OPT_UTC_Z,
    )
