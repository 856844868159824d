"""Finds rows of core that the newest export of their invoice lacks, and withdraws them with events. See docs/adr/0041.

    raw/feed=F/dt=../hour=../landed-<time>-withdrawn-<digest>-<first>-<last>.ndjson.gz
        events that withdraw earlier events, each with a higher version
    raw/feed=F/dt=../hour=../landed-<time>-restored-<digest>-<first>-<last>.ndjson.gz
        events that restore withdrawn events, because the file has them again
    manifests/replacing/<digest>/
        files of one landed file: the rows that COPY reads, which are deleted at the end, and the plan, which a retry
        resumes

The time in a key is that of the file that lacks the events or has them again. Of two files, the one that landed later
is the newer one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecommerce_elt.batches.clean_files import parquet_writer
from ecommerce_elt.batches.manifests import read_manifest
from ecommerce_elt.cleaning.cleaner import ROWS_PER_READ, SELECT_CLEAN, download, run_cleaning
from ecommerce_elt.cleaning.engine import engine_of
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.load.known_rows import OnKnown
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Session, Warehouse, render, role_of, texts

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

REPLACING = "manifests/replacing/"
VALUES_NAMED = 20  # values that a report names for each reason
_LANDED_AT = re.compile(r"/landed-(\d{8}T\d{6}Z)-")
UNREADABLE = "rows of the file have no readable {column}, so each value may lack rows: correct the lines, and put the file there again"
UNREAD_MEMBERS = (
    "files of the zip cannot be read, and may have rows of any value: correct them, and put the zip there again"
)
REJECTED = "rows of it were rejected: correct the lines that the report names, and put the file there again"
OUTSIDE = "core has rows of it on days before or after those of the file: export all its days, or withdraw nothing"
NEWER = "a file that landed later has replaced it already"
SAME_TIME = (
    "another file that landed in the same second has replaced it: put this file there again if it is the newer one"
)
UNFINISHED = "the file ends with it and has no line break at its end, so it may be cut: end the last line, and put the file there again"


@dataclass(frozen=True)
class LandedExport:
    """The properties of a loaded landed file that a replacement needs.

    Args:
        key: the key of the file.
        etag: its ETag.
        raw_prefixes: the key prefix of the raw objects of each of its files, and whether that file may be cut off at
            its end.
        batches: the ids of its batches.
        is_whole: whether all files of a zip could be read.
    """

    key: str
    etag: str
    raw_prefixes: dict[str, bool]
    batches: tuple[str, ...]
    is_whole: bool = True

    @property
    def landed_at(self) -> datetime:
        """The time when the file landed, in whole seconds."""
        found = _LANDED_AT.search(next(iter(self.raw_prefixes)))
        assert found is not None
        return datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    def folder(self, column: str) -> str:
        names = f"{self.key} {self.etag} {sql_time(self.landed_at)} {column}"
        return f"{REPLACING}{hashlib.sha256(names.encode()).hexdigest()[:16]}/"


@dataclass
class Plan:
    """The changes that a replacement makes.

    Args:
        withdrawn: for each landing time, the events of core that the file of that time lacks.
        restored: event id to the value and the version that withdrew the event.
        replaced: the values for which this file is now the newest export.
        left_alone: reason to value to the number of rows that were not withdrawn for this reason.
        warnings: messages that a person should check.
    """

    withdrawn: dict[datetime, list[Withdrawn]] = field(default_factory=lambda: defaultdict(list))
    restored: dict[str, tuple[str, int]] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    left_alone: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    warnings: list[str] = field(default_factory=list)

    @property
    def rows_withdrawn(self) -> int:
        return sum(map(len, self.withdrawn.values()))

    def first(self) -> list[dict[str, Any]]:
        """Returns the first values with withdrawn rows, and the number of rows of each."""
        rows = Counter(row.value for of_time in self.withdrawn.values() for row in of_time)
        return [{"value": value, "rows": rows[value]} for value in sorted(rows)[:VALUES_NAMED]]

    def report(self) -> dict[str, Any]:
        """Returns the part of the report about values that were left alone, and the warnings."""
        reasons = [
            {"why": why, "values": len(values), "rows": sum(values.values()), "first": sorted(values)[:VALUES_NAMED]}
            for why, values in sorted(self.left_alone.items())
        ]
        return {"left_alone": reasons, "warnings": self.warnings}


@dataclass(frozen=True)
class Withdrawn:
    """One event of core that is withdrawn. `data` has the values of its identity columns by record key."""

    value: str
    event_id: str
    version: int
    event_time: datetime
    data: dict[str, str]


def check(params: Mapping[str, Any], contract: Contract) -> None:
    """Checks that a run's parameters allow a replacement of rows of the feed.

    Raises:
        PermanentError: a parameter does not allow it. The message names the parameter and the reason.
    """
    column = params["replace_by"]
    if not column:
        if params["dry_run"]:
            raise PermanentError(
                "dry_run says what replace_by would do, and there is none: give replace_by, or leave dry_run out"
            )
        return
    if contract.identity == "file" or params["identity"] == "file":
        raise PermanentError(
            f"replace_by {column}: rows of feed {contract.feed} are known by file and line, so the same row of two files cannot be "
            "told. Name the columns that tell rows apart under identity in the contract, and leave the parameter identity out"
        )
    fitting = [
        c.name
        for c in contract.columns
        if c.name in contract.identity and c.required and c.type in {"string", "identifier"}
    ]
    if column not in fitting:
        raise PermanentError(
            f"replace_by {column}: expected a column of texts that each row has, one of {', '.join(fitting)}"
        )
    if params["on_known"] == OnKnown.ADD:
        raise PermanentError(
            "replace_by and on_known add: rows that core has under other ids would be added and taken out again. "
            "Give on_known skip, or leave it out"
        )
    if params["more"]:
        raise PermanentError(
            f"replace_by {column}: one file a run replaces rows, and this run has {1 + len(params['more'])}. Trigger a "
            "run for each, the oldest first"
        )


# The transaction that finds the rows that a file replaces.
FIND = (
    "ops/replace/create_landed_row.sql",
    "ops/replace/copy_landed_rows.sql",
    "ops/replace/find_core_rows.sql",
    "ops/replace/find_unmatched_rows.sql",
    "ops/replace/find_newest.sql",
)


# -- the plan -------------------------------------------------------------------------------------------------------


def plan(
    s3: S3Client, target: Warehouse, export: LandedExport, column: str, contract: Contract, settings: Settings
) -> Plan:
    """Returns the changes that the file makes. Nothing is changed yet.

    Args:
        s3: boto3 client.
        target: the warehouse.
        export: the landed file.
        column: the column whose values the file replaces (`replace_by`).
        contract: the contract of the feed.
        settings: with the HMAC key, if the feed needs one.

    Raises:
        PermanentError, TransientError: as in `Warehouse.run` and `cleaner.clean_batch`.
    """
    folder = export.folder(column)
    try:
        rejected, unreadable = _write_rows(s3, export, column, folder, contract, settings)
        with target.session() as session:
            names = {
                "staging": contract.staging,
                "fact": contract.tables[0],
                "key": column,
                "copy_role": role_of(settings),
                "copy_manifest": f"s3://{settings.bucket}/{folder}copy.json",
                "columns": ", ".join(_in_core(contract, name) for name in contract.identity),
            }
            if rejected is None:
                return Plan()  # no row is clean, so the expected rows of core are unknown
            of_feed = {"feed": contract.feed, "column_name": column}
            session.run(texts(settings.sql_dir, FIND, names), of_feed, name=f"plan {folder}"[:128])
            return _planned(_Found(session, settings, names, contract, export), rejected, unreadable)
    finally:
        delete(s3, settings.bucket, [f"{folder}{name}" for name in ("rows.parquet", "copy.json")])


def _write_rows(
    s3: S3Client, export: LandedExport, column: str, folder: str, contract: Contract, settings: Settings
) -> tuple[Counter[str] | None, int]:
    """Cleans the file's events again and writes them for COPY, because the clean files may have been compacted since.

    Returns:
        The number of rejected rows of each value, or None if no row is clean; and the number of rejected rows without a
        readable value.
    """
    rejected: Counter[str] = Counter()
    unreadable, clean = 0, 0
    with tempfile.TemporaryDirectory(prefix="replace-", dir=settings.work_dir) as name:
        work, writer = Path(name), None
        for number, batch_id in enumerate(export.batches):
            manifest = read_manifest(s3, settings.bucket, batch_id)
            files = download(s3, manifest.objects, work / f"raw-{number}")
            with engine_of(settings, work, f"{number}.duckdb") as engine:
                run_cleaning(engine, files, manifest.feed, contract, settings)
                for batch in engine.sql(SELECT_CLEAN).to_arrow_reader(ROWS_PER_READ):
                    writer = writer or parquet_writer(work / "rows.parquet", batch.schema)
                    writer.write_batch(batch)
                    clean += batch.num_rows
                # A value that was itself rejected, or is in a row with too many values, is unknown.
                reads = f"CASE WHEN NOT LIST_CONTAINS([r.column_name FOR r IN reasons], '{column}') THEN {column} END"
                for value, rows in engine.sql(
                    f"SELECT {reads} AS value, COUNT(*) FROM cleaned WHERE LEN(reasons) > 0 GROUP BY ALL"  # noqa: S608
                ).fetchall():
                    if value is None:
                        unreadable += rows
                    else:
                        rejected[value] += rows
            for path in files.values():
                path.unlink()
        if writer:
            writer.close()
        if not clean:
            return None, unreadable
        size = (work / "rows.parquet").stat().st_size
        with (work / "rows.parquet").open("rb") as rows_file:
            s3.put_object(Bucket=settings.bucket, Key=f"{folder}rows.parquet", Body=rows_file)
    url = f"s3://{settings.bucket}/{folder}rows.parquet"
    entries = [{"url": url, "mandatory": True, "meta": {"content_length": size}}]
    s3.put_object(Bucket=settings.bucket, Key=f"{folder}copy.json", Body=json.dumps({"entries": entries}).encode())
    return rejected, unreadable


@dataclass(frozen=True)
class _Found:
    """Reads the temporary tables that ops/replace left in the session."""

    session: Session
    settings: Settings
    names: dict[str, str]
    contract: Contract
    export: LandedExport

    def rows(self, name: str, **parameters: str) -> list[dict[str, Any]]:
        sql = (self.settings.sql_dir / f"ops/replace_results/{name}.sql").read_text("utf-8")
        given = {"feed": self.contract.feed, "landed_at": sql_time(self.export.landed_at), **parameters}
        columns, rows = self.session.table(render(sql, self.names), given)
        return [dict(zip((c.name for c in columns), row, strict=True)) for row in rows]

    def withdrawn(self, row: Mapping[str, Any]) -> Withdrawn:
        texts = {name: row[_in_core(self.contract, name)] for name in self.contract.identity}
        time = _utc(row["event_time"])
        texts[self.contract.event_time] = time.isoformat().replace("+00:00", "Z")
        data = {self.contract.column(name).header: str(text) for name, text in texts.items() if text is not None}
        return Withdrawn(row[self.names["key"]], row["event_id"], int(row["event_version"]), time, data)


def _planned(found: _Found, rejected: Counter[str], unreadable: int) -> Plan:
    result, export = Plan(), found.export
    all_alone = (
        UNREADABLE.format(column=found.names["key"]) if unreadable else "" if export.is_whole else UNREAD_MEMBERS
    )
    ends = {
        found.rows("last_value", raw_prefix=p)[0][found.names["key"]]: cut
        for p, cut in export.raw_prefixes.items()
        if found.rows("last_value", raw_prefix=p)
    }
    why: dict[str, str] = {}
    for row in found.rows("values"):
        value, newest = row["replaced_value"], row["landed_at"] and _utc(row["landed_at"])
        if newest == export.landed_at and (row["file_key"], row["etag"]) == (export.key, export.etag):
            why[value] = ""  # the file has replaced it already
        elif newest and newest >= export.landed_at:
            why[value] = NEWER if newest > export.landed_at else SAME_TIME
        elif all_alone:
            why[value] = all_alone
        elif value in rejected:
            why[value] = REJECTED
        elif int(row["outside"]):
            why[value] = OUTSIDE
        elif ends.get(value):
            why[value] = UNFINISHED
        else:
            result.replaced.append(value)
    for row in found.rows("lacking"):
        lacking = found.withdrawn(row)
        if lacking.value not in why:
            result.withdrawn[export.landed_at].append(lacking)
        elif reason := why[lacking.value]:
            result.left_alone[reason][lacking.value] += 1
    for row in {row["event_id"]: row for row in found.rows("late")}.values():
        result.withdrawn[_utc(row["landed_at"])].append(found.withdrawn(row))
    for row in found.rows("gone"):
        result.restored[row["event_id"]] = (row["replaced_value"], int(row["event_version"]))
    at_end = Counter(w.value for w in result.withdrawn[export.landed_at] if w.value in ends)
    result.warnings = [
        f"the file ends with {found.names['key']} {value}, of which it lacks {rows} rows that core has: if the file is cut there, load "
        "the whole file, which brings them back"
        for value, rows in sorted(at_end.items())
    ]
    return result


def plan_restored(target: Warehouse, export: LandedExport, contract: Contract, settings: Settings) -> Plan:
    """Returns a plan that restores events which an older file's replacement withdrew; it withdraws nothing."""
    result, sql = Plan(), settings.sql_dir / "ops/withdrawal"
    given = {"feed": contract.feed, "landed_at": sql_time(export.landed_at)}
    if not int(target.query((sql / "of_feed.sql").read_text("utf-8"), given)[0][0]):
        return result
    of_batch = render((sql / "of_batch.sql").read_text("utf-8"), {"fact": contract.tables[0]})
    for batch_id in export.batches:
        for event_id, version in target.query(of_batch, given | {"batch_id": batch_id}):
            result.restored[event_id] = ("", int(version))
    return result


def _in_core(contract: Contract, name: str) -> str:
    return "event_time" if name == contract.event_time else name


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def sql_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def delete(s3: S3Client, bucket: str, keys: Sequence[str]) -> None:
    for key in keys:
        s3.delete_object(Bucket=bucket, Key=key)
