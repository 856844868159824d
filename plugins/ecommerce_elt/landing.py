"""What lies in landing/: files, and the reports beside them. Imported where DAGs are parsed, so it imports little."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LANDING = "landing/"
LANDING_KEY = re.compile(r"^landing/(?P<feed>[a-z][a-z0-9_]{0,62})/.*[^/]$")
REPORT_KEY = re.compile(r"^(?P<file>.+)\.(?P<etag>[0-9a-f]{32}(?:-\d+)?)\.report\.json$")


@dataclass(frozen=True)
class LandedFile:
    """One object in landing/ as it was found."""

    key: str
    etag: str

    @property
    def report_key(self) -> str:
        return f"{self.key}.{self.etag}.report.json"


def new_files(listed: Iterable[dict[str, Any]]) -> list[LandedFile]:
    """Returns the landed files without a report, in order of key.

    Args:
        listed: Key and ETag of all objects in landing/, as S3 gives them.
    """
    found, reported = [], set()
    for entry in listed:
        if match := REPORT_KEY.match(entry["Key"]):
            reported.add(LandedFile(match["file"], match["etag"]))
        elif not entry["Key"].endswith("/"):
            found.append(LandedFile(entry["Key"], entry["ETag"].strip('"')))
    return sorted((file for file in found if file not in reported), key=lambda file: file.key)
