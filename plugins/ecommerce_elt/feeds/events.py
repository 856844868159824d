"""The envelope of an event, and the event ids, on which all idempotency is based."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain, zip_longest
from typing import Any

import orjson

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:data-set")


ID_BYTES = 36  # length of an event id, in ASCII
_VARIANT = bytes.maketrans(b"0123456789abcdef", b"89ab" * 4)
_DASHED = [*range(8), *range(9, 13), *range(14, 18), *range(19, 23), *range(24, 36)]  # positions of a UUID's 32 digits
_MARK = "\x7f"  # JSON does not escape it


def event_ids(data_set: str) -> Callable[[int], str]:
    """Returns a function from line number to event id.

    The id is the UUIDv5 of (data set, line), which is the same on every machine and in every run.

    Args:
        data_set: name of the data, by default the SHA-256 of the file's uncompressed bytes.
    """
    many = event_ids_of(data_set)
    return lambda line: many([line])[0].decode()


def event_ids_of(data_set: str) -> Callable[[Sequence[int]], list[bytes]]:
    """Returns the function of `event_ids` for many lines at once, because a file may have half a million lines.

    The ids are in ASCII.
    """
    started = hashlib.sha1(uuid.uuid5(_NAMESPACE, data_set).bytes, usedforsecurity=False)

    def digest(line: int) -> bytes:
        found = started.copy()
        found.update(b"%d" % line)
        return found.digest()[:16]

    return lambda lines: as_uuid5(b"".join(map(digest, lines)).hex().encode())


def as_uuid5(digits: bytes) -> list[bytes]:
    """Returns the UUIDs of `joined_uuid5` as a list."""
    whole = joined_uuid5(digits)
    return [whole[start : start + ID_BYTES] for start in range(0, len(whole), ID_BYTES)]


def joined_uuid5(digits: bytes) -> bytes:
    """Returns concatenated UUIDs in ASCII, made from the first 128 bits of SHA-1 digests as by `uuid.uuid5` (RFC 9562).

    Args:
        digits: 32 hexadecimal digits of each digest, concatenated.
    """
    count = len(digits) // 32
    text = bytearray(b"-") * (ID_BYTES * count)
    for number, place in enumerate(_DASHED):  # sets one digit of all UUIDs at a time
        text[place::ID_BYTES] = digits[number::32]
    text[14::ID_BYTES] = b"5" * count
    text[19::ID_BYTES] = digits[16::32].translate(_VARIANT)
    return bytes(text)


def as_record(keys: Sequence[str], values: Sequence[str]) -> dict[str, object]:
    """Returns the values by key.

    If there are too many values, it is unknown which key each belongs to. All are kept then, and the cleaning step
    rejects the record.
    """
    return dict(zip(keys, values, strict=False)) if len(values) <= len(keys) else {"unassigned": list(values)}


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
        event_id: id of the event.
        feed: feed of the event.
        version: version of the contract.
        event_time: an aware time, or None if the time in the source could not be read, which the cleaning step reports.
        sent_at: time in ISO 8601.
        data: the record as the source wrote it.
        event_version: version of the event. It replaces an event with the same event_id and a lower version.
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


class Envelopes:
    """Encoder for the envelopes of many records of one file. It returns the bytes of `envelope`, several times as fast.

    Args:
        keys: keys of the records, in the order of the values.
        more: feed, version and event_version of `envelope`.
    """

    def __init__(self, keys: Sequence[str], **more: Any) -> None:
        self.keys, self.more = keys, more
        blank: Any = _MARK  # stands for the parts that differ from record to record
        line = envelope(event_id=blank, event_time=blank, sent_at=blank, data=dict.fromkeys(keys, blank), **more)
        mark = _MARK.encode()
        # A time brings its own quotes, or is null. The first match is the envelope's, as a record may have the same
        # key.
        self.pieces = line.replace(b'"event_time":"%b"' % mark, b'"event_time":%b' % mark, 1).split(mark)

    def encode(
        self, ids: Sequence[bytes], times: Sequence[datetime | None], values: Sequence[Sequence[str]], sent_at: str
    ) -> bytes:
        """Returns one line of JSON per record, each with its line break.

        Args:
            ids: ids of the events, in ASCII.
            times: times of the events, in UTC.
            values: values of the records. A record with more or fewer values than keys is encoded as in `as_record`.
            sent_at: time in ISO 8601 for all events.
        """
        width = len(self.keys)
        # All values are joined with marks, escaped as one text, and split at the marks again.
        texts = orjson.dumps(_MARK.join(map(_MARK.join, values)))[1:-1].split(_MARK.encode())
        if len(self.pieces) != width + 4 or set(map(len, values)) != {width} or len(texts) != width * len(ids):
            return b"".join(
                envelope(
                    event_id=event_id.decode(),
                    event_time=time,
                    sent_at=sent_at,
                    data=as_record(self.keys, row),
                    **self.more,
                )
                + b"\n"
                for event_id, time, row in zip(ids, times, values, strict=True)
            )
        head, feed, time, sent, *between = self.pieces
        fixed = [head, feed, time + orjson.dumps(sent_at)[1:-1] + sent, *between[:-1], between[-1] + b"\n"]
        columns = [ids, list(map(_time, times)), *(texts[i::width] for i in range(width))]
        line = list(chain.from_iterable(zip_longest(fixed, [b""] * len(columns))))[:-1]
        parts = line * len(ids)
        for number, column in enumerate(columns):
            parts[2 * number + 1 :: len(line)] = column
        return b"".join(parts)

    def encode_records(
        self,
        ids: Sequence[bytes],
        times: Sequence[datetime | None],
        records: Sequence[Mapping[str, object]],
        sent_at: str,
    ) -> bytes:
        """Returns one line of JSON per record, as `encode` does, for records with keys."""
        return b"".join(
            envelope(event_id=event_id.decode(), event_time=time, sent_at=sent_at, data=record, **self.more) + b"\n"
            for event_id, time, record in zip(ids, times, records, strict=True)
        )


@lru_cache(maxsize=1 << 16)
def _time(moment: datetime | None) -> bytes:
    return orjson.dumps(moment, option=orjson.OPT_UTC_Z)
