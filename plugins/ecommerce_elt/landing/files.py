"""Files in landing/ and the reports beside them. The module imports little because DAG parsing imports it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LANDING = "landing/"
LANDING_KEY = re.compile(r"^landing/(?P<feed>[a-z][a-z0-9_]{0,62})/.*[^/]$")
GROUP_FILES = 200  # files in one run of load_history: as many as its parameters and its page display well
REPORT_KEY = re.compile(r"^(?P<file>.+)\.(?P<etag>[0-9a-f]{32}(?:-\d+)?)\.report\.json$")


@dataclass(frozen=True)
class LandedFile:
    """One version of an object in landing/."""

    key: str
    etag: str
    size: int = field(default=0, compare=False)  # bytes

    @property
    def report_key(self) -> str:
        return f"{self.key}.{self.etag}.report.json"


def feed_of(key: str) -> str:
    """Returns the feed in the key of a landed file; any other key is returned unchanged."""
    match = LANDING_KEY.match(key)
    return match["feed"] if match else key


def new_files(listed: Iterable[Mapping[str, Any]]) -> list[LandedFile]:
    """Returns the landed files without a report, ordered by key.

    Args:
        listed: Key, ETag and optionally Size of all objects in landing/, as S3 returns them.
    """
    found, reported = [], set()
    for entry in listed:
        if match := REPORT_KEY.match(entry["Key"]):
            reported.add(LandedFile(match["file"], match["etag"]))
        elif not entry["Key"].endswith("/"):
            found.append(LandedFile(entry["Key"], entry["ETag"].strip('"'), entry.get("Size", 0)))
    return sorted((file for file in found if file not in reported), key=lambda file: file.key)


def in_groups(files: Iterable[LandedFile], max_bytes: int) -> list[list[LandedFile]]:
    """Returns the files grouped by feed, up to `max_bytes` and GROUP_FILES a group; a larger file has its own group."""
    groups: list[list[LandedFile]] = []
    open_groups: dict[str, list[LandedFile]] = {}
    for file in files:
        feed = feed_of(file.key)
        group = open_groups.get(feed)
        if group is None or len(group) == GROUP_FILES or sum(f.size for f in group) + file.size > max_bytes:
            groups.append(group := [])
            open_groups[feed] = group
        group.append(file)
    return groups


def runs_of(files: Iterable[LandedFile], max_bytes: int) -> list[dict[str, Any]]:
    """Returns the trigger_run_id and conf of the runs of load_history that load the files, one run for each group."""
    return [{"trigger_run_id": _run_id_of(group), "conf": _conf_of(group)} for group in in_groups(files, max_bytes)]


def _conf_of(group: list[LandedFile]) -> dict[str, Any]:
    first, *more = ({"key": file.key, "etag": file.etag} for file in group)
    return {**first, "more": more} if more else first


def _run_id_of(group: list[LandedFile]) -> str:
    names = "\n".join(f"{file.key} {file.etag}" for file in group)
    return f"landed-{hashlib.sha256(names.encode()).hexdigest()[:24]}"
