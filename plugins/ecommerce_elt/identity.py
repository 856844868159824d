"""The ids of a file's events: of the file and the line, or of the values of the row (docs/adr/0038-identity-of-rows.md).

    row    the first 128 bits of the SHA-256 of the JSON list of the canonical texts of the identity columns, written as a UUID
    event  UUIDv5 of (feed, "<row>/<n>"), where it is the n-th row of the file with these values

so that two files that overlap have the same ids for the rows that are in both, however each is written.
"""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, Self

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import constrained_batches

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.events import as_uuid5, event_ids_of
from ecommerce_elt.feeds import Column, Contract
from ecommerce_elt.tabular import Block, Flags, Survey, TabularFile
from ecommerce_elt.typing_sql import CANONICAL_TIME, canonical_sql

log = logging.getLogger(__name__)

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:row")
MEMORY_BYTES = 256 * 1024**2  # of the engine; it spills the rest to its folder
BLOCKS_AT_ONCE = 20
BATCH_BYTES = 2 << 20  # of texts at once: the engine has several copies of them
TEXT_MAX = 65_535  # bytes; a column's max_bytes is no larger, and a longer text is known by its digest
IDS_AT_ONCE = 20_000
READ = pa.schema([("number", pa.int64()), ("event_time", pa.timestamp("us", "UTC")), ("data", pa.list_(pa.string()))])

# A row with more values than there are keys is kept whole by `as_record`, and rejected by the cleaning.
ROW_KEYS = """
CREATE TABLE row_keys AS
WITH events AS (
    SELECT
        number,
        CASE WHEN LEN(data) > $width THEN TO_JSON({{'unassigned': data}}) END AS unassigned,
        data,
        STRFTIME(event_time, '{time}') AS event_time,
        CAST($version AS INTEGER) AS schema_version
    FROM file_rows
), canonical_rows AS (
    {canonical}
)
SELECT
    number,
    CAST(LEFT(SHA256(CAST(COALESCE(unassigned, TO_JSON(canonical)) AS VARCHAR)), 32) AS UUID) AS row_key
FROM canonical_rows
"""
EVENT_IDS = """
SELECT ENCODE(LEFT(SHA1($namespace || ENCODE(row_key || '/' || n)), 32)) AS digits
FROM (SELECT number, row_key, ROW_NUMBER() OVER (PARTITION BY row_key ORDER BY number) AS n FROM row_keys)
ORDER BY number
"""
REPEATED = "SELECT COUNT(*) - COUNT(DISTINCT row_key) FROM row_keys"


def identity_columns(contract: Contract, flags: Flags) -> tuple[Column, ...]:
    """Returns the columns whose values make the ids of a file's events; none where the file and the line do.

    Raises:
        PermanentError: the flags ask for what the feed, or a correction, cannot have.
    """
    kind = flags.identity or ("file" if contract.identity == "file" else "rows")
    if kind == "file":
        return ()
    if contract.identity == "file":
        raise PermanentError(
            f"identity rows: the contract of feed {contract.feed} names no columns that tell rows apart. Name them under "
            "identity, or give identity file"
        )
    if flags.event_version > 1:
        raise PermanentError(
            f"event_version {flags.event_version}: a row of feed {contract.feed} is known by its values, so a corrected row is "
            "another row, and corrects none. What was sent with identity file can be corrected: give identity file, too"
        )
    return tuple(map(contract.column, contract.identity))


class FileIdentity:
    """The ids of one file's events. Use as a context manager: entering it reads the file where its values make the ids.

    Args:
        work_dir: where a folder for the engine is made; the system's by default.

    Attributes:
        columns: those whose values make the ids; none where the file and the line do.
        repeated: rows of the file that have the same values as one before them; 0 where values do not count.
    """

    def __init__(self, source: TabularFile, survey: Survey, work_dir: Path | None = None) -> None:
        self.source, self.survey, self.work_dir = source, survey, work_dir
        self.columns = identity_columns(source.contract, source.flags)
        self.repeated = 0
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self.columns:
            with ExitStack() as opened:
                folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="identity-", dir=self.work_dir))
                self._engine = opened.enter_context(_engine(Path(folder)))
                self._count()
                self._open = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @property
    def names(self) -> str:
        """What makes the ids, for a report: the columns, or "file"."""
        return ", ".join(column.name for column in self.columns) or "file"

    def __str__(self) -> str:
        if not self.columns:
            return "ids by data set and line"
        return f"ids by {self.names}; {self.repeated:,} rows repeat another"

    def blocks(self, multiple: int) -> Iterator[tuple[Block, Sequence[bytes]]]:
        """Yields `TabularFile.blocks` with the ids of each."""
        blocks = self.source.blocks(self.survey, multiple)
        if not self.columns:
            identify = event_ids_of(self.survey.data_set)
            yield from ((block, identify(block.lines)) for block in blocks)
            return
        namespace = {"namespace": uuid.uuid5(_NAMESPACE, self.source.contract.feed).bytes}
        found = self._engine.sql(EVENT_IDS, params=namespace).to_arrow_reader(IDS_AT_ONCE)
        ids = chain.from_iterable(as_uuid5(b"".join(batch.column(0).to_pylist())) for batch in found)
        yield from ((block, list(islice(ids, len(block.lines)))) for block in blocks)

    def _count(self) -> None:
        contract, keys = self.source.contract, self.survey.keys
        self._engine.register(
            "file_rows", pa.RecordBatchReader.from_batches(READ, _batches(self.source.blocks(self.survey), keys))
        )
        canonical = canonical_sql(contract, keys)
        values = {"version": contract.version, "width": len(keys)}
        self._engine.execute(ROW_KEYS.format(canonical=canonical, time=CANONICAL_TIME), values)
        self._engine.unregister("file_rows")
        [(self.repeated,)] = self._engine.execute(REPEATED).fetchall()


def _engine(folder: Path) -> duckdb.DuckDBPyConnection:
    settings = {"memory_limit": f"{MEMORY_BYTES // 1024**2}MiB", "temp_directory": str(folder / "spill"), "threads": 2,
                "autoinstall_known_extensions": False}  # fmt: skip
    engine = duckdb.connect(config=settings)
    engine.execute("SET TimeZone = 'UTC'")
    engine.execute("SET enable_progress_bar = false")  # it is printed to where the output goes
    return engine


def _batches(blocks: Iterator[Block], keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
    number = 0
    columns = (_columns(block, keys) for block in blocks)
    for some in constrained_batches(
        columns, BATCH_BYTES, BLOCKS_AT_ONCE, get_len=lambda of: of[1].nbytes, strict=False
    ):
        times, data = map(pa.concat_arrays, zip(*some, strict=True))
        yield pa.record_batch([pa.array(range(number, number + len(data)), pa.int64()), times, data], schema=READ)
        number += len(data)


def _columns(block: Block, keys: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    values = block.values if block.records is None else [[record.get(key) for key in keys] for record in block.records]
    ends = pa.array(accumulate(map(len, values), initial=0), pa.int32())
    texts = _texts(list(chain.from_iterable(values)))
    if (pc.max(pc.binary_length(texts)).as_py() or 0) > TEXT_MAX:  # no column can hold it: it is rejected, by any name
        shortened = [
            sha256(raw).hexdigest() if t is not None and len(raw := t.encode()) > TEXT_MAX else t
            for t in texts.to_pylist()
        ]
        texts = pa.array(shortened, pa.string())
    return pa.array(block.times, READ.field("event_time").type), pa.ListArray.from_arrays(ends, texts)


def _texts(values: list[Any]) -> pa.StringArray:
    try:
        return pa.array(values, pa.string())
    except pa.ArrowException:  # values that are no texts, as JSON has them
        return pa.array([v if v is None or type(v) is str else orjson.dumps(v).decode() for v in values], pa.string())
