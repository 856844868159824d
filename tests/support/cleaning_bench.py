"""Runs the real cleaning engine on events given in the test, without S3."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import duckdb
from ecommerce_elt.cleaning.cleaner import run_cleaning
from ecommerce_elt.settings import Settings


def line(
    feed: str,
    data: dict,
    event_id: str = "e1",
    event_time: str | None = "2026-01-02T03:04:05Z",
    version: int = 1,
    schema_version: int = 1,
) -> bytes:
    made = {
        "event_id": event_id,
        "feed": feed,
        "schema_version": schema_version,
        "event_time": event_time,
        "sent_at": "2026-01-01T00:00:00Z",
        "data": data,
    }
    return json.dumps(made | ({"event_version": version} if version > 1 else {})).encode()


def clean(folder: Path, config: Settings, contract, feed: str, *objects: list[bytes]) -> list[dict]:
    """Returns the rows of `cleaned`, ordered by object and line; one list of lines is one raw object."""
    files = {}
    for number, lines in enumerate(objects):
        path = folder / f"{number}.jsonl.gz"
        path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
        files[f"raw/feed={feed}/dt=2026-01-01/hour=00/object-{number}.jsonl.gz"] = path
    with duckdb.connect() as engine:
        run_cleaning(engine, files, feed, contract, config)
        cursor = engine.execute("SELECT * FROM cleaned ORDER BY source_object, source_line")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def rules(row: dict) -> set[tuple[str, str]]:
    return {(reason["column_name"], reason["rule"]) for reason in row["reasons"]}
