"""The report beside a landed file: why it cannot be loaded, or what became of its rows, with their lines in the file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecommerce_elt.batches.clean_files import COUNTS, read_object_counts
from ecommerce_elt.batches.manifests import Manifest, read_manifest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.lake.publish import known_by_object
from ecommerce_elt.landing.files import LandedFile
from ecommerce_elt.landing.landed import Landed, LandedGroup, LandedPart
from ecommerce_elt.landing.raw_objects import lines_of
from ecommerce_elt.load.known_rows import read_counts
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.open_questions import OpenQuestionError
from ecommerce_elt.readers.readings import MembersError
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

REPORTED_LINES = 1000
IN_ITEMS = "dynamodb_lines"  # given to dynamodb_writer
UNFINISHED = "unfinished"  # state of a report that so far lists only the unreadable files of a zip
KNOWN = ("known_under_other_ids", "new_beside_known")  # see `known_rows.Known`
SUMMED = ("rows", "blank_lines", "uneven_rows", "formulas_without_value", "repeated_rows")  # over the files of a zip


def _read(s3: S3Client, bucket: str, file: LandedFile) -> dict[str, Any] | None:
    try:
        body = s3.get_object(Bucket=bucket, Key=file.report_key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    found: dict[str, Any] = json.loads(body)
    return found


def _write(s3: S3Client, bucket: str, file: LandedFile, report: Mapping[str, Any]) -> None:
    body = json.dumps({"file": file.key, "etag": file.etag, **report}, indent=1, ensure_ascii=False).encode()
    s3.put_object(Bucket=bucket, Key=file.report_key, Body=body, ContentType="application/json")


# -- files that are not loaded ----------------------------------------------------------------------------------------


def write_replaced(s3: S3Client, bucket: str, file: LandedFile) -> None:
    """Writes the report of a file that was overwritten before it was read."""
    message = "it was replaced before it was read: the new file has a run, and a report, of its own"
    _write(s3, bucket, file, {"state": "replaced", "error": message})


def write_failure(s3: S3Client, bucket: str, file: LandedFile, error: PermanentError, flags: Flags) -> None:
    """Writes the report of a file that cannot be loaded."""
    _write(s3, bucket, file, _failure(file.key, error, flags))


def write_unread(
    s3: S3Client, bucket: str, file: LandedFile, errors: Mapping[str, PermanentError], flags: Flags
) -> None:
    """Writes a report that so far lists only the unreadable files of a zip; `report_loaded` completes it."""
    _write(s3, bucket, file, {"state": UNFINISHED, **_unread(file.key, errors, flags)})


def report_unfinished(s3: S3Client, file: LandedFile, run_id: str, bucket: str) -> bool:
    """Writes a failure report if the run left no final report; returns whether it wrote one."""
    found = _read(s3, bucket, file)
    if found and found["state"] != UNFINISHED:
        return False
    message = f"run {run_id} of load_history ended without a report: look at its red tasks"
    _write(s3, bucket, file, {**(found or {}), "state": "failed", "error": message})
    return True


def _failure(key: str, error: PermanentError, flags: Flags) -> dict[str, Any]:
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


# -- files that are loaded --------------------------------------------------------------------------------------------


def report_loaded(
    s3: S3Client,
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
    s3: S3Client,
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
        report = {
            **_sum(parts, *SUMMED, *COUNTS, "rounded", *KNOWN),
            "filled_down": dict(sum((Counter(part["filled_down"]) for part in parts), Counter[str]())),
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
    _write(s3, settings.bucket, LandedFile(file.key, file.etag), report)
    return report


def _sum(counts: Sequence[Mapping[str, Any]], *names: str) -> dict[str, int]:
    """Returns the sums of the named counts, and of IN_ITEMS if one of them has it."""
    total = {name: sum(each[name] for each in counts) for name in names}
    if any(IN_ITEMS in each for each in counts):
        total[IN_ITEMS] = sum(each.get(IN_ITEMS, 0) for each in counts)
    return total


def _with_unread(s3: S3Client, file: Landed, report: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Returns the report's changes for unreadable files of the zip; their errors come from the earlier report."""
    before = _read(s3, settings.bucket, LandedFile(file.key, file.etag)) or {}
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
    s3: S3Client,
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
        **_sum(counts, *COUNTS, "rounded"),
        **_known_rows(s3, part, settings),
        "rejected": lines,
        "rejected_lines_shown": len(lines),
    }


def _known_rows(s3: S3Client, part: LandedPart, settings: Settings) -> dict[str, int]:
    """Returns the counts of the part's rows that `known_rows` found in core before the load."""
    found = {
        key: counts for batch_id in part.batches for key, counts in read_counts(s3, batch_id, settings.bucket).items()
    }
    own = [counts for key, counts in found.items() if key.startswith(part.raw_prefix)]
    return dict(zip(KNOWN, (sum(each.known for each in own), sum(each.beside_known for each in own)), strict=True))


def _own_counts(
    s3: S3Client,
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


def _rejected_lines(s3: S3Client, part: LandedPart, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yields the line in the file and the reasons for each event that the cleaning rejected."""

    lines = cache(lambda raw_key: lines_of(s3, settings.bucket, raw_key))
    for batch_id in part.batches:
        manifest = read_manifest(s3, settings.bucket, batch_id)
        for row in _quarantined(s3, manifest, settings.bucket, part.raw_prefix):
            yield {"line": lines(row["source_object"])[row["source_line"] - 1], "reasons": row["reasons"]}


def _quarantined(s3: S3Client, manifest: Manifest, bucket: str, raw_prefix: str) -> list[dict[str, Any]]:
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
