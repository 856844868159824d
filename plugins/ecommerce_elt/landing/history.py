"""Converts whole files from landing/ to raw objects and manifests, which are cleaned and loaded like all others.

    landing/<feed>/<any path>                     a file that the producer can read: CSV, JSON, Parquet or a workbook,
                                                  packed or not; or a zip of such files
    landing/<feed>/<any path>.<etag>.report.json  the result, beside the file; the file itself is never changed

The raw objects are `raw/feed=F/dt=../hour=../landed-<time>-<how it was read>-<first line>-<last line>.ndjson.gz`, in
the hour in which the file landed. Their events have the same ids as if the producer replayed the file. A file can
therefore be loaded repeatedly, and in either way, without duplicates. Only `.jsonl.gz` objects are announced on the
queue of raw objects. The batches of landed files are made in this module.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip
from more_itertools import constrained_batches

from ecommerce_elt.batches.clean_files import COUNTS, read_object_counts
from ecommerce_elt.batches.manifests import Manifest, RawObject, new_manifest, read_manifest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.feeds.events import Envelopes
from ecommerce_elt.lake.publish import known_by_object
from ecommerce_elt.landing.files import LANDING, LANDING_KEY, LandedFile
from ecommerce_elt.landing.identity import FileIdentity, IdentityEngine
from ecommerce_elt.landing.open_questions import OpenQuestionError
from ecommerce_elt.landing.readings import MembersError, Reading, read_files
from ecommerce_elt.landing.replacing import LandedExport
from ecommerce_elt.landing.tabular import Flags, Survey, TabularFile
from ecommerce_elt.load.known_rows import read_counts
from ecommerce_elt.settings import Settings

log = logging.getLogger(__name__)

REPORTED_LINES = 1000
IN_ITEMS = "dynamodb_lines"  # given to dynamodb_writer
UNFINISHED = "unfinished"  # state of a report that so far lists only the unreadable files of a zip
KNOWN = ("known_under_other_ids", "new_beside_known")  # see `known_rows.Known`
SUMMED = ("rows", "blank_lines", "uneven_rows", "formulas_without_value", "repeated_rows")  # over the files of a zip
FILES_NAMED = 5  # files that a message names
PUTS_AT_ONCE = 4
OBJECT_BYTES = 32 << 20  # of a raw object, uncompressed; several are in memory at once
PACKING_LEVEL = 1  # compression level of ISA-L
LOG_EVERY_SECONDS = 5.0


@dataclass(frozen=True)
class LandedPart:
    """One file that was read: a landed file, or a file in a landed zip."""

    name: str  # name in the zip, or its number if names may identify people; empty without a zip
    data_set: str
    rows: int
    blank_lines: int
    uneven_rows: int
    layout: str
    left_out: dict[str, dict[str, Any]]  # kind of left-out rows to their number and first lines
    formulas_without_value: int
    raw_prefix: str  # prefix of the keys of its raw objects
    batches: list[str]
    identity: str = "file"  # the columns that the event ids are made of; "file" if they are made of file and line
    repeated_rows: int = 0  # rows with the same identity values as an earlier row; 0 if ids are made of file and line
    filled_down: dict[str, int] = field(default_factory=dict)  # key to number of values filled down
    may_be_cut: bool = False  # whether it is a text file without a line break at its end


@dataclass(frozen=True)
class Landed:
    """The result of landing one file: its batches, and the findings of its survey."""

    key: str
    etag: str
    parts: list[LandedPart]
    skipped: list[str]  # files of a zip that are not data
    unread: int = 0  # files of a zip that cannot be read

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Landed:
        """Returns the object that `asdict` wrote."""
        return cls(**{**found, "parts": [LandedPart(**part) for part in found["parts"]]})

    @property
    def export(self) -> LandedExport:
        """The part of the result that a replacement needs."""
        parts = {part.raw_prefix: part.may_be_cut for part in self.parts}
        return LandedExport(self.key, self.etag, parts, tuple(self.batches), is_whole=not self.unread)

    @property
    def batches(self) -> list[str]:
        return list(dict.fromkeys(batch_id for part in self.parts for batch_id in part.batches))

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def repeated_rows(self) -> int:
        return sum(part.repeated_rows for part in self.parts)


@dataclass(frozen=True)
class LandedGroup:
    """The result of landing files together.

    Args:
        files: the files that could be read.
        failed: keys of the files that could not be read.
        replaced: keys of files that were overwritten in the meantime; the new version has its own run.
    """

    files: list[Landed]
    failed: list[str]
    replaced: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> LandedGroup:
        """Returns the object that `asdict` wrote."""
        return cls([Landed.of(file) for file in found["files"]], found["failed"], found["replaced"])

    @property
    def batches(self) -> list[str]:
        """The ids of the batches of all files, each once, since files can share a batch."""
        return list(dict.fromkeys(batch_id for file in self.files for batch_id in file.batches))


@dataclass(frozen=True)
class _Part:
    """One raw object of a landed file."""

    owner: tuple[int, int]  # positions of the file and of its part
    raw: RawObject
    rows: int
    landed_at: datetime


def land_file(
    s3: Any, key: str, contracts: dict[str, Contract], flags: Flags, settings: Settings, *, etag: str | None = None
) -> Landed:
    """Writes the raw objects and manifests of one file, as `land_files` does, and returns the result."""
    group = land_files(s3, [(key, etag)], contracts, flags, settings)
    if group.replaced:
        raise PermanentError(f"{key} is another file than when it was found; it has a run of its own")
    return group.files[0]


def land_files(
    s3: Any, files: Sequence[tuple[str, str | None]], contracts: dict[str, Contract], flags: Flags, settings: Settings
) -> LandedGroup:
    """Writes raw objects and manifests of files of one feed, and returns the result. Idempotent.

    Small files share a batch.

    Args:
        files: the key of each file, and its expected ETag; None accepts the current version.
        flags: properties of the files that cannot be detected.

    Raises:
        PermanentError: no file can be loaded, because none exists or none can be read. The message quotes nothing of
            the file except its header. The report beside each file has the details, with line numbers.
    """
    if len({feed_of(key) for key, _ in files}) > 1:
        raise PermanentError(f"{', '.join(key for key, _ in files[:FILES_NAMED])}: expected files of one feed")
    landed: list[Landed] = []
    parts: list[_Part] = []
    failed: dict[str, PermanentError] = {}
    replaced: list[str] = []
    with IdentityEngine(settings.work_dir, settings.spill_max_bytes) as engine:
        for key, etag in files:
            try:
                file, of_file = _land_file(s3, key, etag, len(landed), contracts, flags, engine, settings)
            except _ReplacedError:
                log.info("file=%s was replaced after it was found: the new file has a run of its own", key)
                message = "it was replaced before it was read: the new file has a run, and a report, of its own"
                _write_report(s3, settings.bucket, LandedFile(key, etag or ""), {"state": "replaced", "error": message})
                replaced.append(key)
                continue
            except PermanentError as error:
                log.error("%s", error)
                failed[key] = error
                continue
            landed.append(file)
            parts += of_file
    if not landed:
        if failed:
            raise next(iter(failed.values()))
        return LandedGroup([], [], replaced)
    batches: dict[tuple[int, int], list[str]] = defaultdict(list)
    for some in constrained_batches(parts, settings.history_batch_rows, get_len=lambda part: part.rows, strict=False):
        manifest = new_manifest(
            feed_of(landed[0].key), [part.raw for part in some], max(part.landed_at for part in some)
        )
        s3.put_object(Bucket=settings.bucket, Key=f"manifests/{manifest.batch_id}.json", Body=manifest.to_json())
        for owner in dict.fromkeys(part.owner for part in some):
            batches[owner].append(manifest.batch_id)
    done = [
        replace(file, parts=[replace(part, batches=batches[i, j]) for j, part in enumerate(file.parts)])
        for i, file in enumerate(landed)
    ]
    return LandedGroup(done, list(failed), replaced)


def feed_of(key: str) -> str:
    """Returns the feed in the key of a landed file; any other key is returned unchanged."""
    match = LANDING_KEY.match(key)
    return match["feed"] if match else key


class _ReplacedError(Exception):
    """The file is not the version that the run is for."""


def _land_file(
    s3: Any,
    key: str,
    etag: str | None,
    index: int,
    contracts: dict[str, Contract],
    flags: Flags,
    engine: IdentityEngine,
    settings: Settings,
) -> tuple[Landed, list[_Part]]:
    """Writes the raw objects of a file. If the file cannot be loaded, a report beside it explains why."""
    if not key.startswith(LANDING):  # reports are written to landing/ only
        raise PermanentError(f"{key}: expected landing/<feed>/<name> with a feed of {', '.join(contracts)}")
    match = LANDING_KEY.match(key)
    with tempfile.TemporaryDirectory(prefix="land-", dir=settings.work_dir) as folder:
        path = Path(folder) / f"landed{Path(key).suffix[:16]}"
        found, landed_at = _fetch(s3, settings.bucket, key, etag, path)
        try:
            if not match or match["feed"] not in contracts:
                raise PermanentError(f"{key}: expected landing/<feed>/<name> with a feed of {', '.join(contracts)}")
            return _land(s3, path, found, index, contracts[match["feed"]], flags, engine, landed_at, settings)
        except PermanentError as error:
            _write_report(s3, settings.bucket, found, _failure(found.key, error, flags))
            raise PermanentError(
                f"{key} cannot be loaded; why, and in which line, is in s3://{settings.bucket}/{found.report_key}"
            ) from None  # the message may quote the file, which must not reach the logs


def _fetch(s3: Any, bucket: str, key: str, etag: str | None, path: Path) -> tuple[LandedFile, datetime]:
    """Downloads a landed file to `path`, and returns its version and when it landed.

    If the file is overwritten during the download, it is downloaded again.

    Raises:
        _ReplacedError: the file is not the version that `etag` names.
        PermanentError: the file does not exist.
    """
    while True:
        try:
            head = s3.head_object(Bucket=bucket, Key=key)
        except s3.exceptions.ClientError as error:
            raise PermanentError(f"s3://{bucket}/{key}: {error}") from error
        found = LandedFile(key, head["ETag"].strip('"'))
        if etag and found.etag != etag:
            raise _ReplacedError
        try:
            body = s3.get_object(Bucket=bucket, Key=key, IfMatch=head["ETag"])["Body"]
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in {"PreconditionFailed", "412", "NoSuchKey", "404"}:
                raise
            continue  # it was replaced or deleted between the two requests: look again
        with path.open("wb") as file:
            for chunk in body.iter_chunks(1024**2):
                file.write(chunk)
        return found, head["LastModified"]


def _failure(key: str, error: PermanentError, flags: Flags) -> dict[str, Any]:
    """Returns the content of the report of a file that cannot be loaded."""
    if isinstance(error, MembersError):
        return {
            "state": "failed",
            "error": f"{key}: {len(error.errors)} of {error.total} files of the zip cannot be read",
            **_unread(key, error.errors, flags),
        }
    if isinstance(error, OpenQuestionError):
        given = {name: value for name, value in asdict(flags).items() if value != getattr(Flags(), name)}
        run_again = error.commands("load_history", {"key": key, **given})
        return {"state": "failed", "error": error.as_parameters(), "run_again": run_again}
    return {"state": "failed", "error": str(error)}


def _unread(key: str, errors: Mapping[str, PermanentError], flags: Flags) -> dict[str, Any]:
    """Returns the part of a report about the files of a zip that cannot be read."""
    members = {name: _failure(key, each, flags) for name, each in errors.items()}
    commands = [command for member in members.values() for command in member.pop("run_again", [])]
    return {
        "members": [{"member": name, **member} for name, member in members.items()],
        **({"run_again": list(dict.fromkeys(commands))} if commands else {}),
    }


def _land(
    s3: Any,
    path: Path,
    found: LandedFile,
    index: int,
    contract: Contract,
    flags: Flags,
    engine: IdentityEngine,
    landed_at: datetime,
    settings: Settings,
) -> tuple[Landed, list[_Part]]:
    readings, skipped, unread = read_files(path, contract, flags, path.parent, name=found.key)
    parts: list[LandedPart] = []
    objects: list[_Part] = []
    for number, reading in enumerate(readings):
        part, of_part = _land_part(s3, reading, found, (index, number), flags, engine, landed_at, settings)
        reading.file.release()
        parts.append(part)
        objects += of_part
    if unread:  # the reasons may quote the files, so only the report has them
        log.error(
            "file=%s: %s of %s files of the zip cannot be read", found.key, len(unread), len(unread) + len(readings)
        )
        _write_report(s3, settings.bucket, found, {"state": UNFINISHED, **_unread(found.key, unread, flags)})
    return Landed(found.key, found.etag, parts, skipped, len(unread)), objects


def _land_part(
    s3: Any,
    reading: Reading,
    found: LandedFile,
    owner: tuple[int, int],
    flags: Flags,
    engine: IdentityEngine,
    landed_at: datetime,
    settings: Settings,
) -> tuple[LandedPart, list[_Part]]:
    name, source, survey = reading
    contract, what = source.contract, f"{found.key}, {name}" if name else found.key
    layout = source.layout(survey)
    log.info(
        "file=%s rows=%s left_out=%s uneven_rows=%s %s dates=%s data_set=%s",
        what,
        survey.rows,
        {kind: of.rows for kind, of in survey.left_out.items()},
        survey.uneven_rows,
        layout,
        survey.date_order,
        survey.data_set,
    )
    envelopes = Envelopes(survey.keys, feed=contract.feed, version=contract.version, event_version=flags.event_version)
    sent_at = landed_at.isoformat().replace("+00:00", "Z")
    # The same file, landed at the same time and read in the same way, gives the same objects; a copy gives others.
    identity = FileIdentity(source, survey, engine=engine)
    read_as = hashlib.sha256(f"{what} {survey.data_set} {flags} {identity.names}".encode()).hexdigest()[:16]
    folder = f"raw/feed={contract.feed}/dt={landed_at:%Y-%m-%d}/hour={landed_at:%H}"
    prefix = f"{folder}/landed-{landed_at:%Y%m%dT%H%M%SZ}-{read_as}-"

    def put(lines: _Lines) -> _Part:
        body = igzip.compress(b"".join(lines.bodies), PACKING_LEVEL, mtime=0)
        first, last, rows = lines.numbers[0], lines.numbers[-1], len(lines.numbers)
        key = f"{prefix}{first:012d}-{last:012d}.ndjson.gz"
        if last - first + 1 != rows:  # a record spans several lines, or lines in between are left out
            s3.put_object(Bucket=settings.bucket, Key=_lines_key(key), Body=json.dumps(lines.numbers).encode())
        etag = s3.put_object(Bucket=settings.bucket, Key=key, Body=body)["ETag"].strip('"')
        return _Part(owner, RawObject(key, etag, len(body), settings.bucket), rows, landed_at)

    each = settings.history_object_rows
    with identity, _Progress(what, survey.rows) as progress, ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
        log.info("file=%s %s", what, identity)
        blocks = progress.counted(_joined(identity.encoded(each, envelopes, sent_at), each))
        parts = list(_in_order(pool, put, blocks))
    left_out = {kind: asdict(rows) for kind, rows in survey.left_out.items()}
    return LandedPart(
        name,
        survey.data_set,
        survey.rows,
        survey.blank_lines,
        survey.uneven_rows,
        f"{layout}, dates {survey.date_order}",
        left_out,
        survey.formulas_without_value,
        prefix,
        [],
        identity.names,
        identity.repeated,
        survey.filled_down,
        _may_be_cut(source, survey),
    ), parts


def _may_be_cut(source: TabularFile, survey: Survey) -> bool:
    if survey.kind != "csv":
        return False  # other formats mark their end
    last = b""
    for chunk in source.source.chunks(1 << 20):
        last = chunk or last
    return not {*last[-2:]} & {*b"\r\n"}  # in UTF-16, a line break is one of the last two bytes


def _lines_key(raw_key: str) -> str:
    """Returns the key of the list of a raw object's line numbers, which exists if they are not consecutive."""
    return f"manifests/lines/{raw_key}.json"


class _Lines(NamedTuple):
    """Encoded records: their line numbers in the file, and their bytes in pieces."""

    numbers: list[int]
    bodies: list[bytes | memoryview]


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


def _in_order(pool: ThreadPoolExecutor, put: Any, blocks: Iterable[_Lines]) -> Iterator[_Part]:
    """Yields the result of `put` for each block, in order, with few blocks in memory."""
    waiting = []
    for block in blocks:
        waiting.append(pool.submit(put, block))
        if len(waiting) > PUTS_AT_ONCE:
            yield waiting.pop(0).result()
    for each in waiting:
        yield each.result()


class _Progress:
    """Logs the progress of the reading every few seconds."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done, self.started, self.shown = what, total, 0, time.monotonic(), time.monotonic()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._show()

    def counted(self, blocks: Iterable[_Lines]) -> Iterator[_Lines]:
        for block in blocks:
            yield block
            self.done += len(block.numbers)
            if time.monotonic() - self.shown > LOG_EVERY_SECONDS:
                self._show()

    def _show(self) -> None:
        self.shown = time.monotonic()
        speed = self.done / max(self.shown - self.started, 0.001)
        share = 100 * self.done / self.total if self.total else 100
        log.info("file=%s rows=%s of %s (%.0f %%), %.0f/s", self.what, self.done, self.total, share, speed)


# -- reports --------------------------------------------------------------------------------------------------------


def report_loaded(
    s3: Any,
    landed: LandedGroup,
    loaded: Mapping[str, Mapping[str, int]],
    settings: Settings,
    replaced: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    dry_run: bool = False,
    error: str = "",
) -> list[dict[str, Any]]:
    """Writes the report of each landed file, and returns the reports in the order of the files.

    Args:
        loaded: for each loaded batch, its id and its counts of accepted, clean, quarantined and duplicate events.
        replaced: key of a file to the part of its report about replaced rows.
        dry_run: whether the run was not meant to load anything.
        error: the failure after the load, if there was one.
    """
    return [
        _report(s3, file, loaded, settings, (replaced or {}).get(file.key), error, dry_run) for file in landed.files
    ]


def _report(
    s3: Any,
    file: Landed,
    loaded: Mapping[str, Mapping[str, int]],
    settings: Settings,
    replaced: Mapping[str, Any] | None,
    error: str,
    dry_run: bool,
) -> dict[str, Any]:
    counts_of = cache(lambda batch_id: read_object_counts(s3, settings.bucket, batch_id))
    shown = REPORTED_LINES // len(file.parts)
    parts = [_part_report(s3, part, loaded, counts_of, shown, settings) for part in file.parts]
    if file.parts[0].name:
        totals = {name: sum(part[name] for part in parts) for name in (*SUMMED, *COUNTS, "rounded", *KNOWN)}
        if any(IN_ITEMS in part for part in parts):
            totals[IN_ITEMS] = sum(part.get(IN_ITEMS, 0) for part in parts)
        filled = sum((Counter(part["filled_down"]) for part in parts), Counter[str]())
        report = {
            **totals,
            "filled_down": dict(filled),
            "batches": file.batches,
            "skipped": file.skipped,
            "members": parts,
        }
    else:
        report = parts[0]
    missing = [batch_id for batch_id in file.batches if batch_id not in loaded and not dry_run]
    report = {"state": "dry_run" if dry_run else "failed" if missing else "loaded", **report}
    if replaced:
        report["replaced"] = replaced
    if file.unread:
        report |= _with_unread(s3, file, report, settings)
    if error:
        report |= {"state": "failed", "error": error}
    if missing:
        report["error"] = (
            f"{len(missing)} of {len(file.batches)} batches were not loaded: look at the red tasks of the run"
        )
    _write_report(s3, settings.bucket, LandedFile(file.key, file.etag), report)
    return report


def _with_unread(s3: Any, file: Landed, report: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Returns the report's changes for unreadable files of the zip; their errors come from the earlier report."""
    before = _read_report(s3, settings.bucket, LandedFile(file.key, file.etag)) or {}
    unread = [member for member in before.get("members", []) if "error" in member]
    total = len(file.parts) + file.unread
    return {
        "state": "partly_loaded" if report["state"] == "loaded" else report["state"],
        "error": f"{file.unread} of {total} files of the zip cannot be read; the others are loaded. Mend those that members names, "
        "and put the zip there again, or them alone",
        "members": [*unread, *report.get("members", [])],
        **({"run_again": before["run_again"]} if "run_again" in before else {}),
    }


def _part_report(
    s3: Any,
    part: LandedPart,
    loaded: Mapping[str, Mapping[str, int]],
    counts_of: Callable[[str], list[dict[str, Any]]],
    shown: int,
    settings: Settings,
) -> dict[str, Any]:
    counts = [
        _own_counts(s3, part, batch_id, loaded[batch_id], counts_of(batch_id), settings)
        for batch_id in part.batches
        if batch_id in loaded
    ]
    total = {name: sum(batch[name] for batch in counts) for name in (*COUNTS, "rounded")}
    if any(IN_ITEMS in batch for batch in counts):
        total[IN_ITEMS] = sum(batch.get(IN_ITEMS, 0) for batch in counts)
    lines = list(islice(_rejected_lines(s3, part, settings), shown))
    return {
        **({"member": part.name} if part.name else {}),
        "rows": part.rows,
        "blank_lines": part.blank_lines,
        "uneven_rows": part.uneven_rows,
        "left_out": part.left_out,
        "formulas_without_value": part.formulas_without_value,
        "layout": part.layout,
        "data_set": part.data_set,
        "identity": part.identity,
        "repeated_rows": part.repeated_rows,
        "filled_down": part.filled_down,
        "raw_prefix": part.raw_prefix,
        "batches": part.batches,
        **total,
        **_known_rows(s3, part, settings),
        "rejected": lines,
        "rejected_lines_shown": len(lines),
    }


def _known_rows(s3: Any, part: LandedPart, settings: Settings) -> dict[str, int]:
    """Returns the counts of the part's rows that `known_rows` found in core before the load."""
    found = {
        key: counts for batch_id in part.batches for key, counts in read_counts(s3, batch_id, settings.bucket).items()
    }
    own = [counts for key, counts in found.items() if key.startswith(part.raw_prefix)]
    return dict(zip(KNOWN, (sum(each.known for each in own), sum(each.beside_known for each in own)), strict=True))


def _own_counts(
    s3: Any,
    part: LandedPart,
    batch_id: str,
    committed: Mapping[str, int],
    lines: list[dict[str, Any]],
    settings: Settings,
) -> Mapping[str, int]:
    """Returns the file's share of a batch's counts, including its events with a rounded value."""
    own = [line for line in lines if line["object_key"].startswith(part.raw_prefix)]
    rounded = sum(line["rounded"] for line in own)
    if len(own) == len(lines):
        return {**committed, "rounded": rounded}
    counts = {name: sum(line[name] for line in own) for name in COUNTS}
    if IN_ITEMS in committed:
        counts[IN_ITEMS] = min(committed[IN_ITEMS], counts["accepted"])
    if committed["duplicates"] > sum(line["duplicates"] for line in lines):  # core already had some of the events
        known = known_by_object(s3, settings.bucket, batch_id)
        had = sum(events for key, events in known.items() if key.startswith(part.raw_prefix))
        counts = {**counts, "clean": counts["clean"] - had, "duplicates": counts["duplicates"] + had}
    return {**counts, "rounded": rounded}


def _rejected_lines(s3: Any, part: LandedPart, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yields the line in the file and the reasons for each event that the cleaning rejected."""

    @cache
    def lines_of(source_object: str) -> Sequence[int]:
        try:
            listed = s3.get_object(Bucket=settings.bucket, Key=_lines_key(source_object))["Body"].read()
        except s3.exceptions.NoSuchKey:  # the lines are consecutive
            first, last = (int(part) for part in source_object.removesuffix(".ndjson.gz").rsplit("-", 2)[1:])
            return range(first, last + 1)
        lines: list[int] = json.loads(listed)
        return lines

    for batch_id in part.batches:
        manifest = read_manifest(s3, settings.bucket, batch_id)
        for row in _quarantined(s3, manifest, settings.bucket, part.raw_prefix):
            yield {"line": lines_of(row["source_object"])[row["source_line"] - 1], "reasons": row["reasons"]}


def _quarantined(s3: Any, manifest: Manifest, bucket: str, raw_prefix: str) -> list[dict[str, Any]]:
    days = {raw.key.split("/dt=")[1][:10] for raw in manifest.objects}
    rows: list[dict[str, Any]] = []
    for day in sorted(days):
        key = f"quarantine/feed={manifest.feed}/dt={day}/{manifest.batch_id}.parquet"
        try:
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            continue  # no event of the day was rejected
        columns = ["reasons", "source_object", "source_line"]
        rows += pq.read_table(pa.BufferReader(body), columns=columns).to_pylist()
    own = (row for row in rows if row["source_object"].startswith(raw_prefix))
    return sorted(own, key=lambda row: (row["source_object"], row["source_line"]))


def report_unfinished(s3: Any, file: LandedFile, run_id: str, bucket: str) -> bool:
    """Writes a failure report if the run left no final report; returns whether it wrote one."""
    found = _read_report(s3, bucket, file)
    if found and found["state"] != UNFINISHED:
        return False
    message = f"run {run_id} of load_history ended without a report: look at its red tasks"
    _write_report(s3, bucket, file, {**(found or {}), "state": "failed", "error": message})
    return True


def _read_report(s3: Any, bucket: str, file: LandedFile) -> dict[str, Any] | None:
    try:
        body = s3.get_object(Bucket=bucket, Key=file.report_key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    found: dict[str, Any] = json.loads(body)
    return found


def _write_report(s3: Any, bucket: str, file: LandedFile, report: dict[str, Any]) -> None:
    body = json.dumps({"file": file.key, "etag": file.etag, **report}, indent=1, ensure_ascii=False).encode()
    s3.put_object(Bucket=bucket, Key=file.report_key, Body=body, ContentType="application/json")
