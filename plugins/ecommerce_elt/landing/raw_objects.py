"""Writes the records of a landed file as raw objects.

Their keys are `raw/feed=F/dt=../hour=../landed-<time>-<how it was read>-<first line>-<last line>.ndjson.gz`, in the
hour in which the file landed. Only `.jsonl.gz` objects are announced on the queue of raw objects.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from isal import igzip

from ecommerce_elt.batches.manifests import RawObject
from ecommerce_elt.feeds.events import Envelopes
from ecommerce_elt.landing.files import LandedFile
from ecommerce_elt.landing.identity import FileIdentity, IdentityEngine
from ecommerce_elt.landing.landed import LandedPart
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.packed import PackedFile
from ecommerce_elt.readers.readings import Reading
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

PUTS_AT_ONCE = 4
OBJECT_BYTES = 32 << 20  # of a raw object, uncompressed; several are in memory at once
PACKING_LEVEL = 1  # compression level of ISA-L
LOG_EVERY_SECONDS = 5.0


class WrittenObject(NamedTuple):
    """One raw object, and the file whose records it has."""

    part: LandedPart
    landed_at: datetime
    raw: RawObject
    rows: int


class _Lines(NamedTuple):
    """Encoded records: their line numbers in the file, and their bytes in pieces."""

    numbers: list[int]
    bodies: list[bytes | memoryview]


@dataclass(frozen=True)
class RawObjectWriter:
    """Writes the raw objects of the files of one run, one file after the other.

    The same file, landed at the same time and read in the same way, gives the same objects; a copy gives others.
    """

    s3: S3Client
    flags: Flags
    engine: IdentityEngine
    settings: Settings

    def write(self, reading: Reading, found: LandedFile, landed_at: datetime) -> tuple[LandedPart, list[WrittenObject]]:
        """Writes the raw objects of a file. Returns its part of the result, still without batches, and the objects.

        Args:
            reading: the file, and the findings of its first reading.
            found: the landed file that it is, or that is the zip with it.
            landed_at: when that file landed.
        """
        name, source, survey = reading
        feed, what = source.contract.feed, f"{found.key}, {name}" if name else found.key
        layout, left_out = source.layout(survey), {kind: asdict(rows) for kind, rows in survey.left_out.items()}
        log.info(
            "file=%s rows=%s left_out=%s uneven_rows=%s %s dates=%s data_set=%s",
            what,
            survey.rows,
            {kind: of["rows"] for kind, of in left_out.items()},
            survey.uneven_rows,
            layout,
            survey.date_order,
            survey.data_set,
        )
        identity = FileIdentity(source, survey, engine=self.engine)
        read_as = hashlib.sha256(f"{what} {survey.data_set} {self.flags} {identity.names}".encode()).hexdigest()[:16]
        folder = f"raw/feed={feed}/dt={landed_at:%Y-%m-%d}/hour={landed_at:%H}"
        prefix = f"{folder}/landed-{landed_at:%Y%m%dT%H%M%SZ}-{read_as}-"
        with identity:
            log.info("file=%s %s", what, identity)
            written = self._write_blocks(what, identity, prefix, landed_at)
        part = LandedPart(
            name=name,
            data_set=survey.data_set,
            rows=survey.rows,
            blank_lines=survey.blank_lines,
            uneven_rows=survey.uneven_rows,
            layout=f"{layout}, dates {survey.date_order}",
            left_out=left_out,
            formulas_without_value=survey.formulas_without_value,
            raw_prefix=prefix,
            batches=[],
            identity=identity.names,
            repeated_rows=identity.repeated,
            filled_down=survey.filled_down,
            may_be_cut=survey.kind == "csv" and not _ends_with_line_break(source.source),
        )
        return part, [WrittenObject(part, landed_at, raw, rows) for raw, rows in written]

    def _write_blocks(
        self, what: str, identity: FileIdentity, prefix: str, landed_at: datetime
    ) -> list[tuple[RawObject, int]]:
        contract, survey, each = identity.source.contract, identity.survey, self.settings.history_object_rows
        envelopes = Envelopes(
            survey.keys, feed=contract.feed, version=contract.version, event_version=self.flags.event_version
        )
        sent_at = landed_at.isoformat().replace("+00:00", "Z")
        blocks = _logged(_joined(identity.encoded(each, envelopes, sent_at), each), what, survey.rows)
        with ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
            return list(_in_order(pool, partial(self._put, prefix), blocks))

    def _put(self, prefix: str, lines: _Lines) -> tuple[RawObject, int]:
        body, bucket = igzip.compress(b"".join(lines.bodies), PACKING_LEVEL, mtime=0), self.settings.bucket
        first, last, rows = lines.numbers[0], lines.numbers[-1], len(lines.numbers)
        key = f"{prefix}{first:012d}-{last:012d}.ndjson.gz"
        if last - first + 1 != rows:  # a record spans several lines, or lines in between are left out
            self.s3.put_object(Bucket=bucket, Key=_lines_key(key), Body=json.dumps(lines.numbers).encode())
        etag = self.s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"].strip('"')
        return RawObject(key, etag, len(body), bucket), rows


def lines_of(s3: S3Client, bucket: str, raw_key: str) -> Sequence[int]:
    """Returns the line in the file of each record of a raw object."""
    try:
        listed = s3.get_object(Bucket=bucket, Key=_lines_key(raw_key))["Body"].read()
    except s3.exceptions.NoSuchKey:  # the lines are consecutive
        first, last = (int(part) for part in raw_key.removesuffix(".ndjson.gz").rsplit("-", 2)[1:])
        return range(first, last + 1)
    lines: list[int] = json.loads(listed)
    return lines


def _lines_key(raw_key: str) -> str:
    """Returns the key of the list of a raw object's line numbers, which exists if they are not consecutive."""
    return f"manifests/lines/{raw_key}.json"


def _ends_with_line_break(source: PackedFile) -> bool:
    last = b""
    for chunk in source.chunks(1 << 20):
        last = chunk or last
    return bool({*last[-2:]} & {*b"\r\n"})  # in UTF-16, a line break is one of the last two bytes


def _joined(blocks: Iterable[tuple[Sequence[int], bytes | memoryview]], each: int) -> Iterator[_Lines]:
    """Yields groups of up to `each` records, or fewer if they are long. A block must end at each multiple of `each`."""
    waiting = _Lines([], [])
    done = 0
    for lines, body in blocks:
        waiting.numbers.extend(lines)
        waiting.bodies.append(body)
        done += len(lines)
        if done % each == 0 or sum(map(len, waiting.bodies)) > OBJECT_BYTES:
            yield waiting
            waiting = _Lines([], [])
    if waiting.numbers:
        yield waiting


def _logged(blocks: Iterable[_Lines], what: str, total: int) -> Iterator[_Lines]:
    """Yields the same blocks, and logs the progress every few seconds and at the end."""
    done, started = 0, time.monotonic()
    shown = started

    def show() -> None:
        speed, share = done / max(shown - started, 0.001), 100 * done / total if total else 100
        log.info("file=%s rows=%s of %s (%.0f %%), %.0f/s", what, done, total, share, speed)

    for block in blocks:
        yield block
        done += len(block.numbers)
        if time.monotonic() - shown > LOG_EVERY_SECONDS:
            shown = time.monotonic()
            show()
    shown = time.monotonic()
    show()


def _in_order(
    pool: ThreadPoolExecutor, put: Callable[[_Lines], tuple[RawObject, int]], blocks: Iterable[_Lines]
) -> Iterator[tuple[RawObject, int]]:
    """Yields the result of `put` for each block, in order, with few blocks in memory."""
    waiting = []
    for block in blocks:
        waiting.append(pool.submit(put, block))
        if len(waiting) > PUTS_AT_ONCE:
            yield waiting.pop(0).result()
    for each in waiting:
        yield each.result()
