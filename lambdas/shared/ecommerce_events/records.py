"""Extraction of the events from a record of the stream. Pure, without I/O.

A record holds one event or several. The Kinesis Producer Library (KPL) may have aggregated several user records into
it. A user record may be compressed with gzip and may begin with a byte order mark. It holds JSON objects one after the
other, in lines or in arrays. An event is either an envelope or a bare record, whose keys identify its feed
(recognition.py). Content that is not an event is kept, with the reason.
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

UNPACKED_MAX_BYTES = 16 * 1024**2  # 1 MiB of gzip unpacks to this much JSON; a gzip bomb expands a thousandfold
PIECES_MAX = 100_000  # pieces of a user record: each is kept in memory with its reason
BREAKS_MAX = (
    100  # then the rest of a text is kept as one piece: after each break, parsing may run to the end of the text
)

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:stream")
_BLANKS = re.compile("[ \t\r\n,\ufeff]*")  # between events; a comma may also separate events outside an array
_NEXT_EVENT = re.compile(r"[\r\n]+(?=[{\[])")
# Checks only the syntax. It finds the end of a value that is JSON but refused.
_scan_syntax = JSONDecoder(parse_int=str, parse_float=str, parse_constant=str).raw_decode


class Place(NamedTuple):
    """Position of a record in the stream.

    Attributes:
        arrived: time of arrival, in seconds since the epoch.
        subsequence_number: position of a user record in an aggregated record, from 0.
    """

    shard_id: str
    sequence_number: str
    arrived: float
    subsequence_number: int = 0


class Part(NamedTuple):
    """One part of a record: an event, or content that is not an event.

    Attributes:
        envelope: the envelope, or None if the part is not an event.
        content: the bytes of the envelope, of the bare record (then `is_bare` is true), or of the content that is not
            an event.
        reason: why the part is not an event, without its values; empty for an event.
        is_bare: whether the event came without an envelope.
        record_index: position of the part in the Kinesis record, from 0.
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
        payload: the data of a Kinesis record, or of a user record that Firehose deaggregated.
        record: the record as the Lambda receives it.
        place_of: returns the place of the record. It is called only if the payload is not a single envelope. It returns
            None if the record came from no stream; then a bare record is not an event.
    """
    try:
        value = read_json(payload.decode("utf-8"))
    except (UnicodeDecodeError, NotAnEnvelope):
        value = None  # not a single object: it is split below, which also finds the reason if it is not JSON
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
    """Returns the data of the user records that KPL aggregated, or None if the record is not aggregated.

    The library's own reader prints a record that it cannot read and then skips it. For this reason, only the library's
    protobuf messages are used.

    Raises:
        NotAnEnvelope: the record is aggregated, but damaged or empty.
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
    """Returns the text of the content, from UTF-8 or from UTF-16 with a byte order mark.

    Each byte that is not UTF-8 becomes a lone surrogate, so that the other events of the text can still be read.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise NotAnEnvelope(f"not UTF-16 at byte {error.start}") from error
    return content.decode("utf-8", "surrogateescape")


def _pieces(text: str) -> Iterator[tuple[Any, int, int, str]]:
    """Yields (value, start, end, reason) for each JSON object of a text and each element of its arrays, in order.

    A piece with a reason is not an event, and its value must not be used. A value that is JSON but refused is a piece
    of its own. Text that is not JSON is one piece together with the text after it, up to the next line that begins with
    { or [. Reading continues there.
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
            at = -1  # outside an array, only an object can be an event
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
    """Returns the end of the JSON value that begins at `start`, or -1 if there is no JSON value."""
    try:
        return _scan_syntax(text, start)[1]
    except (ValueError, RecursionError):
        return -1


@lru_cache(maxsize=1024)  # the records of a sender have the same keys
def _feed_of(keys: frozenset[str]) -> str:
    return recognised_feed(dict.fromkeys(keys), contracts())


def _judged(value: dict[str, Any], content: bytes, place: Place | None, index: int) -> Part:
    """Returns the event in a JSON object, or the reason why it is not an event.

    A bare record gets an envelope, with an event_id derived from its position in the stream.

    Args:
        value: the JSON object.
        content: its bytes.
        place: the place of the user record, or None if it came from no stream.
        index: position of the object in the user record, from 0.
    """
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
        "event_time": None,  # the cleaning step uses the time in the record
        "sent_at": arrived,
        "data": value,
    }
    return Part(envelope, content, is_bare=True)
