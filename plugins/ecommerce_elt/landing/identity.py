"""Makes the ids of a file's events, from file and line or from the row's values (docs/adr/0038-identity-of-rows.md).

Ids from values are made in two steps:

    row    the first 128 bits of the SHA-256 of the JSON list of the identity columns' canonical texts, as a UUID
    event  UUIDv5 of (feed, "<row>/<n>") for the n-th row of the file with these values

Two overlapping files therefore have the same ids for the rows that are in both, however each file is written.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from hashlib import sha256
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import constrained_batches

from ecommerce_elt.cleaning.engine import COMPARE_WORDS, bounded_engine
from ecommerce_elt.cleaning.typing_sql import CANONICAL_TIME, canonical_sql
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Column, Contract
from ecommerce_elt.feeds.events import ID_BYTES, Envelopes, event_ids_of, joined_uuid5
from ecommerce_elt.landing.column_events import ColumnEnvelopes, as_rows
from ecommerce_elt.readers.blocks import Block, TimedColumns
from ecommerce_elt.readers.columns import Columns
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.survey import Survey
from ecommerce_elt.readers.tabular import TabularFile

log = logging.getLogger(__name__)

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:row")
MEMORY_BYTES = 256 * 1024**2  # memory of the engine; it spills the rest to its folder
BLOCKS_AT_ONCE = 100
BATCH_BYTES = 2 << 20  # of texts at once, because the engine holds several copies of them
TEXT_MAX = 65_535  # bytes: the largest max_bytes of a column. Longer texts are replaced by their digest
IDS_AT_ONCE = 20_000
READ = pa.schema([("number", pa.int64()), ("event_time", pa.timestamp("us", "UTC")), ("data", pa.list_(pa.string()))])

CREATE_KEYS = "CREATE OR REPLACE TABLE row_keys (number BIGINT, row_key UUID)"
# `as_record` keeps a row with more values than keys whole, and the cleaning rejects it.
KEYS_OF_ROWS = """
INSERT INTO row_keys
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
# For columnar blocks: row n has the n-th distinct text of each column. This is possible because the canonical text of a
# value does not depend on other values of its row.
TEXTS_OF_COLUMNS = """
WITH events AS (
    SELECT
        number,
        NULL AS unassigned,
        [{values}] AS data,
        STRFTIME(event_time, '{time}') AS event_time,
        CAST($version AS INTEGER) AS schema_version
    FROM column_texts
), canonical_rows AS (
    {canonical}
)
SELECT LIST_TRANSFORM(canonical, LAMBDA text : COALESCE(CAST(TO_JSON(text) AS VARCHAR), 'null')) AS canonical
FROM canonical_rows
ORDER BY number
"""
KEYS_OF_COLUMNS = "INSERT INTO row_keys SELECT number, CAST(LEFT(SHA256(text), 32) AS UUID) FROM row_texts"
EVENT_IDS = """
SELECT ENCODE(LEFT(SHA1($namespace || ENCODE(row_key || '/' || n)), 32)) AS digits
FROM (
    SELECT number, row_key, n
    FROM (SELECT number, row_key, ROW_NUMBER() OVER (PARTITION BY row_key ORDER BY number) AS n FROM row_keys)
    ORDER BY number
)
"""
REPEATED = "SELECT COUNT(*) - COUNT(DISTINCT row_key) FROM row_keys"


def identity_columns(contract: Contract, flags: Flags) -> tuple[Column, ...]:
    """Returns the columns from whose values the event ids are made; empty if ids are made from file and line.

    Raises:
        PermanentError: the flags ask for ids from values, but the feed or a correction cannot have them.
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


class IdentityEngine:
    """A DuckDB engine that is shared by one file after the other, because starting it takes longer than a small file.

    Use it as a context manager.

    Args:
        work_dir: where its spill folder is made; the system's temporary folder by default.
        spill_max_bytes: the largest number of bytes that it may spill, as in `bounded_engine`.
    """

    def __init__(self, work_dir: Path | None = None, spill_max_bytes: int | None = None) -> None:
        self.work_dir, self.spill_max_bytes = work_dir, spill_max_bytes
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection to the engine, which starts at the first access."""
        folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="identity-", dir=self.work_dir))
        opened = bounded_engine(
            Path(folder), memory_bytes=MEMORY_BYTES, threads=2, spill_max_bytes=self.spill_max_bytes
        )
        engine = self._open.enter_context(opened)
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(COMPARE_WORDS)
        engine.execute("SET enable_progress_bar = false")  # the bar would be printed to the output
        return engine


class FileIdentity:
    """The ids of one file's events.

    Use it as a context manager. Entering the context reads the file if ids are made from values.

    Args:
        source: the file.
        survey: the findings of its first reading.
        work_dir: the work folder of its own engine, if `engine` is None.
        engine: a shared engine, which no other file may use at the same time.

    Attributes:
        columns: the columns from whose values the ids are made; empty if they are made from file and line.
        repeated: the number of rows with the same values as an earlier row; 0 if ids are made from file and line.
    """

    def __init__(
        self, source: TabularFile, survey: Survey, work_dir: Path | None = None, *, engine: IdentityEngine | None = None
    ) -> None:
        self.source, self.survey, self.work_dir, self._shared = source, survey, work_dir, engine
        self.columns = identity_columns(source.contract, source.flags)
        self.repeated = 0
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self.columns:
            with ExitStack() as opened:
                engine = self._shared or opened.enter_context(IdentityEngine(self.work_dir))
                self._engine = engine.connection
                opened.callback(self._forget)
                self._count()
                self._open = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @property
    def names(self) -> str:
        """The names of the identity columns, or "file", for a report."""
        return ", ".join(column.name for column in self.columns) or "file"

    def __str__(self) -> str:
        if not self.columns:
            return "ids by data set and line"
        return f"ids by {self.names}; {self.repeated:,} rows repeat another"

    def blocks(self, multiple: int) -> Iterator[tuple[Block, Sequence[bytes]]]:
        """Yields each block of `TabularFile.blocks` with the ids of its events."""
        ids = self._ids()
        for block in self.source.blocks(self.survey, multiple):
            joined = ids(block.lines)
            yield block, [joined[start : start + ID_BYTES] for start in range(0, len(joined), ID_BYTES)]

    def encoded(
        self, multiple: int, envelopes: Envelopes, sent_at: str
    ) -> Iterator[tuple[Sequence[int], bytes | memoryview]]:
        """Yields the lines and encoded events of each block of records; a block ends after every `multiple` records."""
        ids, by_columns = self._ids(), ColumnEnvelopes(envelopes, sent_at)
        for block in self.source.blocks(self.survey, multiple, by_columns=True):
            joined = ids(block.lines)
            if block.by_columns:
                yield block.lines, by_columns.encode(joined, block)
            else:
                each = [joined[start : start + ID_BYTES] for start in range(0, len(joined), ID_BYTES)]
                yield block.lines, self.source.encoded(block, each, envelopes, sent_at)

    def _ids(self) -> Callable[[Sequence[int]], bytes]:
        """Returns a function that returns the concatenated ids of the next records, given their lines."""
        if not self.columns:
            identify = event_ids_of(self.survey.data_set)
            return lambda lines: b"".join(identify(lines))
        namespace = {"namespace": uuid.uuid5(_NAMESPACE, self.source.contract.feed).bytes}
        found = self._engine.sql(EVENT_IDS, params=namespace).to_arrow_reader(IDS_AT_ONCE)
        ready = bytearray()

        def take(lines: Sequence[int]) -> bytes:
            wanted = ID_BYTES * len(lines)
            while len(ready) < wanted:
                ready.extend(joined_uuid5(b"".join(found.read_next_batch().column(0).to_pylist())))
            taken = bytes(ready[:wanted])
            del ready[:wanted]
            return taken

        return take

    def _count(self) -> None:
        self._engine.execute(CREATE_KEYS)
        rows: list[tuple[int, Block]] = []
        number = 0
        # If the file has one column under two names, its rows are typed one by one.
        are_apart = all(len(self._places(column)) < 2 for column in self.columns)
        for block in self.source.blocks(self.survey, sys.maxsize, by_columns=True):
            if block.by_columns and are_apart and _are_short(block.by_columns.found):
                self._add_columns(number, block.by_columns)
            else:
                rows.append((number, as_rows(block) if block.by_columns else block))
                if len(rows) == BLOCKS_AT_ONCE or block.by_columns:
                    self._add_rows(rows)
                    rows = []
            number += len(block.lines)
        if rows:
            self._add_rows(rows)
        [(self.repeated,)] = self._engine.execute(REPEATED).fetchall()

    def _places(self, column: Column) -> list[int]:
        return [i for i, key in enumerate(self.survey.keys) if key in column.headers]

    def _add_columns(self, number: int, block: TimedColumns) -> None:
        contract, keys = self.source.contract, self.survey.keys
        of_columns = [self._places(column) for column in self.columns]
        used = [at for [at] in filter(None, of_columns)]
        texts = {f"c{at}": block.found.columns[at].dictionary for at in used}
        most = max(map(len, texts.values()))
        times = pa.array(block.times, READ.field("event_time").type)
        padded = {name: _padded(column, most) for name, column in {**texts, "event_time": times}.items()}
        self._engine.register("column_texts", pa.table({"number": pa.array(np.arange(most)), **padded}))
        sql = TEXTS_OF_COLUMNS.format(
            values=", ".join(f"c{i}" if i in used else "NULL" for i in range(len(keys))),
            canonical=canonical_sql(contract, keys),
            time=CANONICAL_TIME,
        )
        found = self._engine.sql(sql, params={"version": contract.version}).to_arrow_table().column(0).combine_chunks()
        by_column = [pc.list_element(found, i).cast(pa.string()) for i in range(len(self.columns))]
        parts = [
            pa.DictionaryArray.from_arrays(block.found.columns[places[0]].indices, canonical).dictionary_decode()
            if places
            else "null"
            for places, canonical in zip(of_columns, by_column, strict=True)
        ]
        joined = pc.binary_join_element_wise(*parts, ",")
        joined = pc.binary_join_element_wise("[", joined, "]", "")
        numbers = pa.array(np.arange(number, number + len(joined)))
        self._engine.register("row_texts", pa.table({"number": numbers, "text": joined}))
        self._engine.execute(KEYS_OF_COLUMNS)

    def _add_rows(self, blocks: Sequence[tuple[int, Block]]) -> None:
        contract, keys = self.source.contract, self.survey.keys
        columns = ((number, *_columns(block, keys)) for number, block in blocks)
        for some in constrained_batches(columns, BATCH_BYTES, get_len=lambda of: of[2].nbytes, strict=False):
            numbers = np.concatenate([np.arange(number, number + len(data)) for number, _, data in some])
            times, data = (pa.concat_arrays([each[i] for each in some]) for i in (1, 2))
            self._engine.register("file_rows", pa.table([pa.array(numbers), times, data], schema=READ))
            sql = KEYS_OF_ROWS.format(canonical=canonical_sql(contract, keys), time=CANONICAL_TIME)
            self._engine.execute(sql, {"version": contract.version, "width": len(keys)})

    def _forget(self) -> None:
        for name in ("file_rows", "column_texts", "row_texts"):
            self._engine.unregister(name)
        self._engine.execute("DROP TABLE IF EXISTS row_keys")


def _are_short(found: Columns) -> bool:
    return all((pc.max(pc.binary_length(column.dictionary)).as_py() or 0) <= TEXT_MAX for column in found.columns)


def _padded(column: pa.Array, length: int) -> pa.Array:
    return pa.concat_arrays([column, pa.nulls(length - len(column), column.type)])


def _columns(block: Block, keys: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    values = block.values if block.records is None else [[record.get(key) for key in keys] for record in block.records]
    ends = pa.array(list(accumulate(map(len, values), initial=0)), pa.int32())
    texts = _texts(list(chain.from_iterable(values)))
    if (pc.max(pc.binary_length(texts)).as_py() or 0) > TEXT_MAX:  # no column can hold it, so it is rejected
        shortened = [
            sha256(raw).hexdigest() if t is not None and len(raw := t.encode()) > TEXT_MAX else t
            for t in texts.to_pylist()
        ]
        texts = pa.array(shortened, pa.string())
    return pa.array(block.times, READ.field("event_time").type), pa.ListArray.from_arrays(ends, texts)


def _texts(values: list[Any]) -> pa.StringArray:
    try:
        return pa.array(values, pa.string())
    except pa.ArrowException:  # JSON also has values that are not texts
        return pa.array([v if v is None or type(v) is str else orjson.dumps(v).decode() for v in values], pa.string())
