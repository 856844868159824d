"""Rows of a query, which are read when the client requests them."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Sequence
from typing import Any

import duckdb

from local.redshift.catalog import Column
from local.redshift.errors import from_duckdb
from local.redshift.results import Result

READ_ROWS = 1000
PARKED_IN_MEMORY_BYTES = 8 * 1024**2


class Rows:
    """The remaining rows of a result. They are computed on request until another statement needs the connection."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection | None) -> None:
        self._cursor = cursor
        self._ready: list[tuple[Any, ...]] = []
        self._parked: Any = None
        self.taken = 0  # number of rows that the client has received

    @classmethod
    def of(cls, cursor: duckdb.DuckDBPyConnection, columns: list[Column]) -> Result:
        """Returns a query's result whose rows are not read yet."""
        return Result(columns, cls(cursor), has_rows=True)  # type: ignore[arg-type]

    @classmethod
    def given(cls, rows: Sequence[tuple[Any, ...]]) -> Rows:
        """Returns rows that are already in memory."""
        found = cls(None)
        found._ready = list(rows)
        return found

    def first(self, count: int | None) -> Rows:
        """Returns the next `count` rows, or all if it is None, which are read from this object."""
        return _First(self, count)

    def take(self, most: int) -> list[tuple[Any, ...]]:
        """Returns at most `most` of the next rows, or an empty list if there are no more.

        Raises:
            SqlError: The query fails at these rows.
        """
        while not self._ready and (more := self._read()):
            self._ready = more
        out, self._ready = self._ready[:most], self._ready[most:]
        self.taken += len(out)
        return out

    def has_more(self) -> bool:
        if not self._ready:
            self._ready = self._read()
        return bool(self._ready)

    def _read(self) -> list[tuple[Any, ...]]:
        if self._parked is not None:
            try:
                return list(pickle.load(self._parked))  # noqa: S301  # written by `park`
            except EOFError:
                return []
        if self._cursor is None:
            return []
        try:
            found: list[tuple[Any, ...]] = self._cursor.fetchmany(READ_ROWS)
        except duckdb.Error as error:
            self._cursor = None
            raise from_duckdb(str(error), "") from error
        if not found:
            self._cursor = None
        return found

    def park(self) -> None:
        """Stores the remaining rows in memory or in a file, because the connection is needed."""
        if self._cursor is None:
            return
        aside = tempfile.SpooledTemporaryFile(PARKED_IN_MEMORY_BYTES)  # noqa: SIM115  # closed by `close`
        while more := self._read():
            pickle.dump(more, aside)
        aside.seek(0)
        self._parked = aside

    def close(self) -> None:
        self._cursor, self._ready = None, []
        if self._parked is not None:
            self._parked.close()
            self._parked = None


class _First(Rows):
    """A limited number of rows of another object."""

    def __init__(self, source: Rows, count: int | None) -> None:
        super().__init__(None)
        self._source, self._left = source, count

    def _read(self) -> list[tuple[Any, ...]]:
        found = self._source.take(READ_ROWS if self._left is None else min(self._left, READ_ROWS))
        if self._left is not None:
            self._left -= len(found)
        return found
