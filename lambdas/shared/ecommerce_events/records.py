"""What is in a record of the stream: the events, however a sender framed them, and what is no event. Pure, without I/O.

A record is one event, or several: aggregated by the Kinesis Producer Library (KPL), and each of those user records, gzip or
not, with a byte order mark or not, JSON objects one after the other, in lines or in arrays. An event comes in its envelope,
or as a record that its keys name (recognition.py). What is no event is kept, with the reason.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import re
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json import JSONDecoder
from typing import Any, NamedTuple

from ecommerce_events.contracts import contracts
from ecommerce_events.envelope import NotAnEnvelope, problems_of, read_json, scan_json
from ecommerce_events.recognition import is_meant_as_envelope, recognised_feed

UNPACKED_MAX_BYTES = 16 * 1024**2  # what 1 MiB of gzip with JSON in it unpacks to; a gzip bomb has a thousandfold
PIECES_MAX = 100_000  # of a user record: each is kept in memory with its reason
BREAKS_MAX = (
    100  # after which the rest of a text is kept in one piece: each is read anew, at worst to the end of the text
)

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:stream")
_BLANKS = re.compile("[ \t\r\n,\ufeff]*")  # between events; commas also where somebody left the brackets away
_NEXT_EVENT = re.compile(r"[\r\n]+(?=[{\[])")
# Only the syntax: of what is JSON but refused, it tells the end.
_scan_syntax = JSONDecoder(parse_int=str, parse_float=str, parse_constant=str).raw_decode


class Place(NamedTuple):
    """Where a record lies in the stream; `arrived` in seconds since the epoch."""

    shard_id: str
    sequence_number: str
    arrived: float
    subsequence_number: int = 0


class Part(NamedTuple):
    """One event of a record, or what is no event.

    Attributes:
        envelope: None where this is no event.
        content: the bytes of the envelope, of the record without one (then `is_bare`), or of what is no event.
        reason: why it is no event, without what it holds; else empty.
        record_index: counts the parts of the Kinesis record, from 0.
    """

    envelope: dict[str, Any] | None
    content: bytes
    reason: str = ""
    is_bare: bool = False
    record_index: int = 0


def place_of(record: Mapping[str, Any]) -> Place:
    """Returns the place of a record of a Kinesis event."""
    kinesis = record["kinesis"]
    shard_id = record["eventID"].partition(":")[0]
    return Place(shard_id, kinesis["sequenceNumber"], kinesis["approximateArrivalTimestamp"])


def parts_of(
    payload: bytes, record: Mapping[str, Any], place_of: Callable[[Mapping[str, Any]], Place | None] = place_of
) -> list[Part]:
    """Returns the parts of a record of the stream, at least one. The same payload at the same place has the same parts.

    Args:
        payload: a Kinesis record's data; or a user record's, of what Firehose took apart.
        record: as the Lambda gets it.
        place_of: tells the record's place; asked only for what is not a single envelope. None where there is no stream; then
            a record without an envelope is no event.
    """
    try:
        value = read_json(payload.decode("utf-8"))
    except (UnicodeDecodeError, NotAnEnvelope):
        value = None  # no single object: taken apart below, with the reason where it is none at all
    if type(value) is dict and not problems_of(value):
        return [Part(value, payload)]  # the usual case
    place = place_of(record)
    if type(value) is dict:
        return [_judged(value, payload, place, 0)]
    try:
        user_records = _user_records(payload)
    except NotAnEnvelope as error:
        return [Part(None, payload, str(error))]
    if user_records is None:
        return [part._replace(record_index=n) for n, part in enumerate(_of_user_record(payload, place))]
    places = [place and place._replace(subsequence_number=n) for n in range(len(user_records))]
    found = [part for record, its in zip(user_records, places, strict=True) for part in _of_user_record(record, its)]
    return [part._replace(record_index=n) for n, part in enumerate(found)]


def _user_records(payload: bytes) -> list[bytes] | None:
    """Returns the data of the user records that KPL aggregated, or None of a record that is not aggregated.

    The library's own reader prints a record that it cannot read, and goes on without it. Hence only its messages are used.
    """
    from aws_kinesis_agg import DIGEST_SIZE, MAGIC

    if not payload.startswith(MAGIC):
        return None
    from aws_kinesis_agg.deaggregator import messages_pb2
    from google.protobuf.message import DecodeError

    message, digest = payload[len(MAGIC) : -DIGEST_SIZE], payload[-DIGEST_SIZE:]
    if hashlib.md5(message, usedforsecurity=False).digest() != digest:
        raise NotAnEnvelope("an aggregated record whose MD5 is another than that of its content")
    try:
        records = messages_pb2.AggregatedRecord.FromString(message).records
    except DecodeError as error:
        raise NotAnEnvelope("an aggregated record that is no message of the Kinesis Producer Library") from error
    if not records:
        raise NotAnEnvelope("an aggregated record without user records")
    return [record.data for record in records]


def _of_user_record(payload: bytes, place: Place | None) -> list[Part]:
    try:
        text = _text(_unpacked(payload))
    except NotAnEnvelope as error:
        return [Part(None, payload, str(error))]
    found: list[Part] = []
    for value, start, end, reason in _pieces(text):
        try:
            content = text[start:end].encode("utf-8")
        except UnicodeEncodeError as error:
            content = text[start:end].encode("utf-8", "surrogateescape")
            reason = f"not UTF-8 at character {error.start}"
        found.append(Part(None, content, reason) if reason else _judged(value, content, place, len(found)))
    if not found:
        return [Part(None, payload, "no event: an empty text or an empty array")]
    if len(found) == 1 and not found[0].envelope:
        return [found[0]._replace(content=text.encode("utf-8", "surrogateescape"))]
    return found


def _unpacked(payload: bytes) -> bytes:
    if not payload.startswith(b"\x1f\x8b"):
        return payload
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(payload)) as members:
            unpacked = members.read(UNPACKED_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise NotAnEnvelope(f"gzip that cannot be unpacked: {type(error).__name__}") from error
    if len(unpacked) > UNPACKED_MAX_BYTES:
        raise NotAnEnvelope(f"gzip that unpacks to more than {UNPACKED_MAX_BYTES:,} bytes")
    return unpacked


def _text(content: bytes) -> str:
    """Returns the text; in it, each byte that is not UTF-8 is a lone surrogate, so that the events beside it can be read."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise NotAnEnvelope(f"not UTF-16 at byte {error.start}") from error
    return content.decode("utf-8", "surrogateescape")


def _pieces(text: str) -> Iterator[tuple[Any, int, int, str]]:
    """Yields (value, start, end, reason) of each JSON object of a text and each element of its arrays, in their order.

    Where there is a reason there is no value: what is JSON but refused is a piece of its own. What is no JSON is one piece
    with what follows it, up to the next line that begins with { or [; there reading goes on.
    """
    at, array, pieces, breaks = 0, "none", 0, 0
    while (at := _past_blanks(text, at)) < len(text):
        mark = text[at]
        if mark == "[" and array != "open":
            array, at = "open", at + 1
            continue
        if mark == "]" and array != "none":
            array, at = "none", at + 1
            continue
        pieces += 1
        start, value, reason = at, None, ""
        if pieces > PIECES_MAX or breaks > BREAKS_MAX:
            yield (
                None,
                start,
                len(text),
                f"the rest of a text of more than {PIECES_MAX:,} events or {BREAKS_MAX} breaks",
            )
            return
        try:
            value, at = scan_json(text, start)
            if type(value) is not dict:
                reason = f"expected a JSON object, found {type(value).__name__}"
        except NotAnEnvelope as error:
            reason, at = str(error), _end(text, start)
        if array == "none" and mark != "{":
            at = -1  # outside of an array only an object can be an event
        if at < 0:
            breaks += 1
            following = _NEXT_EVENT.search(text, start)
            at = following.end() if following else len(text)
            array = "broken" if array == "open" else array
        yield value, start, at, reason
    if array == "open":
        yield None, at, at, "a JSON array without its end"


def _past_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _end(text: str, start: int) -> int:
    """Returns where the JSON value ends that begins at `start`, or -1 where it is none."""
    try:
        return _scan_syntax(text, start)[1]
    except (ValueError, RecursionError):
        return -1


@lru_cache(maxsize=1024)  # a sender's records have the same keys
def _feed_of(keys: frozenset[str]) -> str:
    return recognised_feed(dict.fromkeys(keys), contracts())


def _judged(value: dict[str, Any], content: bytes, place: Place | None, index: int) -> Part:
    """Returns the event in a JSON object, or why it is none; `index` counts within the user record."""
    problems = problems_of(value)
    if not problems:
        return Part(value, content)
    known = contracts()
    if is_meant_as_envelope(value, known) or not place:
        return Part(None, content, ": ".join(problems[0]))
    try:
        feed = _feed_of(frozenset(value))
    except NotAnEnvelope as error:
        return Part(None, content, str(error))
    arrived = datetime.fromtimestamp(place.arrived, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    name = f"{place.shard_id}/{place.sequence_number}/{place.subsequence_number}/{index}"
    envelope = {
        "event_id": str(uuid.uuid5(_NAMESPACE, name)),
        "feed": feed,
        "schema_version": known[feed]["version"],
        "event_time": None,  # the cleaning takes the record's own
        "sent_at": arrived,
        "data": value,
    }
    return Part(envelope, content, is_bare=True)
