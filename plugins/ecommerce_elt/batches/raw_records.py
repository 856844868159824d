"""Reader of raw objects as rows for Spark, which reads them with Python. DuckDB reads them itself (cleaner.py).

Each record becomes a list of texts, and each text equals the result of DuckDB's JSON_EXTRACT_STRING.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ecommerce_elt.batches.clean_files import get_raw
from ecommerce_elt.batches.manifests import RawObject
from ecommerce_elt.errors import PermanentError, values_withheld, without_values

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

ROWS_PER_BATCH = 20_000
EVENTS = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_time", pa.string()),
        ("event_version", pa.int32()),
        ("schema_version", pa.int32()),
        ("data", pa.list_(pa.string())),
        ("extra", pa.string()),
        ("source_object", pa.string()),
        ("source_line", pa.int32()),
    ]
)


class _Number(str):
    """A JSON number in the form that DuckDB writes.

    It has the fewest digits that give the same double. An integer, or a number too large for a double, keeps its text.
    """

    __slots__ = ()


def _real(text: str) -> _Number:
    value = float(text)
    if math.isinf(value):
        return _Number(text)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    if digits == (0,):
        return _Number("-0.0" if sign else "0.0")
    written, point = "".join(map(str, digits)), len(digits) + exponent
    if 0 < point <= 21:
        text = written[:point].ljust(point, "0") + "." + (written[point:] or "0")
    elif -6 < point <= 0:
        text = "0." + "0" * -point + written
    else:
        text = written[0] + ("." + written[1:] if written[1:] else "") + f"e{point - 1}"
    return _Number("-" * sign + text)


def _integer(text: str) -> _Number:
    return _Number("0" if text == "-0" else text)


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the pairs as a dict, with the first value of a duplicate key."""
    return dict(reversed(pairs)) if len({key for key, _ in pairs}) < len(pairs) else dict(pairs)


def _text(value: Any, *, inner: bool = False) -> str | None:
    """Returns a JSON value as text, equal to the result of DuckDB's JSON_EXTRACT_STRING."""
    match value:
        case None:
            return "null" if inner else None
        case bool():
            return "true" if value else "false"
        case _Number():
            return str(value)
        case str():
            return _quoted(value) if inner else value
        case list():
            return "[" + ",".join(str(_text(v, inner=True)) for v in value) + "]"
        case _:
            return "{" + ",".join(f"{_quoted(k)}:{_text(v, inner=True)}" for k, v in value.items()) + "}"


def _quoted(text: str) -> str:
    plain = json.dumps(text, ensure_ascii=False)
    return re.sub(r"\\u00[0-9a-f]{2}", lambda found: "\\u" + found[0][2:].upper(), plain)


_DECODER = json.JSONDecoder(parse_float=_real, parse_int=_integer, parse_constant=_Number, object_pairs_hook=_first)


def read_objects(s3: S3Client, known: Sequence[str], objects: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yields the events of raw objects, with a row of EVENTS for each.

    Args:
        s3: boto3 client.
        known: the contract's known keys. `data` has the text of each key in this order; other keys are stored in
            `extra`.
        objects: rows of a manifest: key, etag, size, bucket.

    Raises:
        PermanentError: an object differs from the manifest, or does not consist of JSON lines.
    """
    with values_withheld():
        for batch in objects:
            for row in batch.to_pylist():
                raw = RawObject(**row)
                yield from _events_of(get_raw(s3, raw)["Body"], raw.key, known)


def _events_of(body: Any, key: str, known: Sequence[str]) -> Iterator[pa.RecordBatch]:
    rows: list[tuple[Any, ...]] = []
    names = frozenset(known)
    line = 0
    try:
        with gzip.GzipFile(fileobj=body) as lines:
            for text in lines:
                if not text.strip():
                    continue
                line += 1
                event = _DECODER.decode(text.decode("utf-8"))
                data = event.get("data")
                data = data if isinstance(data, dict) else {}  # DuckDB finds no key in other values, either
                record = [_text(data.get(name)) for name in known]
                unknown = {name: value for name, value in data.items() if name not in names}
                extra = _text(unknown) if unknown else None
                versions = [int(event.get(name) or 1) for name in ("event_version", "schema_version")]
                rows.append(
                    (_text(event.get("event_id")), _text(event.get("event_time")), *versions, record, extra, key, line)
                )
                if len(rows) == ROWS_PER_BATCH:
                    yield _as_batch(rows)
                    rows = []
        if rows:
            yield _as_batch(rows)
    except (OSError, EOFError, zlib.error, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise PermanentError(f"a raw object holds no JSON lines: {key} line {line}: {without_values(error)}") from None


def _as_batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True))
    arrays = [pa.array(column, field.type) for column, field in zip(columns, EVENTS, strict=True)]
    return pa.record_batch(arrays, schema=EVENTS)
