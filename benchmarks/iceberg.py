"""Counts what Apache Iceberg asks of S3 to append the lake's batches, beside one day's list: docs/adr/0055-iceberg-again.md.

PyIceberg appends one Parquet file a batch to a table that is partitioned by day, in the environment of the rivals. Its files
are local, so the figures are requests and processor time, and no seconds of a network.
"""

from __future__ import annotations

import resource
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import PyArrowFile
from pyiceberg.table import Table
from pyiceberg.transforms import DayTransform
from rich.console import Console
from rich.table import Table as Grid

BATCHES, ROWS, DAYS = 300, 1_000, 2
SHOWN = (2, 100, 200, 300)  # batches whose commit is shown; the first one makes the first files
FIRST_DAY = datetime(2026, 1, 1)


def counted(requests: Counter[str], name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        requests[name] += 1
        return method(*args, **kwargs)

    return call


def processor_ms() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1000


def table_in(folder: Path, properties: dict[str, str]) -> Table:
    catalog = SqlCatalog("lake", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
    catalog.create_namespace("lake")
    schema = pa.schema([("event_id", pa.string()), ("event_time", pa.timestamp("us")), ("quantity", pa.int64())])
    table = catalog.create_table("lake.online_retail", schema=schema, properties=properties)
    with table.update_spec() as spec:
        spec.add_field("event_time", DayTransform(), "day")
    return table


def files_of_batches(folder: Path) -> Iterable[str]:
    """Yields the address of each batch's file."""
    for number in range(1, BATCHES + 1):
        day = FIRST_DAY + timedelta(days=number % DAYS)
        ids = [f"{number}-{row}" for row in range(ROWS)]
        path = folder / f"{number}.parquet"
        pq.write_table(pa.table({"event_id": ids, "event_time": [day] * ROWS, "quantity": [1] * ROWS}), path)
        yield f"file://{path}"


def append_all(requests: Counter[str], properties: dict[str, str], name: str, grid: Grid) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = table_in(Path(folder), properties)
        for number, file in enumerate(files_of_batches(Path(folder)), 1):
            requests.clear()
            before = processor_ms()
            table.add_files([file], check_duplicate_files=False)
            if number in SHOWN:
                made = f"{requests['GET']} GET, {requests['PUT']} PUT"
                size = Path(table.metadata_location.removeprefix("file://")).stat().st_size
                grid.add_row(f"{name}: commit {number}", f"{made}, {processor_ms() - before:.0f} ms, {size:,} bytes")
        kept = [path.stat().st_size for path in Path(folder).rglob("metadata/*")]
        grid.add_row(f"{name}: metadata after {BATCHES}", f"{len(kept)} files, {sum(kept):,} bytes")
        requests.clear()
        last = FIRST_DAY + timedelta(days=DAYS - 1)
        found = list(table.scan(row_filter=f"event_time >= '{last:%Y-%m-%dT00:00:00}'").plan_files())
        grid.add_row(f"{name}: plan of a day", f"{len(found)} files by {requests['GET']} GET")


def main() -> None:
    requests: Counter[str] = Counter()
    for name, method in (("GET", "open"), ("PUT", "create")):
        setattr(PyArrowFile, method, counted(requests, name, getattr(PyArrowFile, method)))
    grid = Grid("Iceberg", "measured: requests, processor time, size of metadata.json")
    append_all(requests, {}, "as it comes", grid)
    merged = {"commit.manifest-merge.enabled": "true", "write.metadata.delete-after-commit.enabled": "true"}
    append_all(requests, merged, "manifests merged", grid)
    Console().print(grid)


if __name__ == "__main__":
    main()
