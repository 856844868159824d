"""Table locks. A writer holds its tables until its transaction ends; LOCK holds readers up too.

And what conflicts: rows that a transaction changes must be as they were when its snapshot was taken. Redshift looks at rows,
this at tables of which a committed transaction changed or deleted some (insertions conflict with nothing).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from local.redshift.errors import SqlError

WAKE_SECONDS = 0.2  # how soon a waiter sees that it was cancelled


class Locks:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writer: dict[str, object] = {}
        self._exclusive: dict[str, object] = {}
        self._waits_for: dict[object, object] = {}
        self._commits = 0
        self._changed_by: dict[str, int] = {}  # table to the number of the last commit that changed rows of it

    def snapshot(self) -> int:
        """Returns the number of the last commit: what a transaction that begins now can see."""
        with self._changed:
            return self._commits

    def is_changed_since(self, table: str, snapshot: int) -> bool:
        with self._changed:
            return self._changed_by.get(table, 0) > snapshot

    def committed(self, tables: Iterable[str]) -> None:
        """Notes a commit, and the tables of which it changed or deleted rows."""
        with self._changed:
            self._commits += 1
            self._changed_by |= dict.fromkeys(tables, self._commits)

    def write(self, owner: object, tables: Iterable[str], cancelled: Callable[[], bool]) -> None:
        """Waits until no other transaction writes the tables, then holds them.

        Raises:
            SqlError: the wait was cancelled, or would never end.
        """
        for table in sorted(set(tables)):
            with self._changed:
                self._wait(owner, self._writer, table, cancelled)
                self._writer[table] = owner

    def exclude(self, owner: object, tables: Iterable[str], cancelled: Callable[[], bool]) -> None:
        """As `write`, and readers wait as well (ACCESS EXCLUSIVE)."""
        names = sorted(set(tables))
        self.write(owner, names, cancelled)
        with self._changed:
            for table in names:
                self._exclusive[table] = owner

    def read(self, owner: object, tables: Iterable[str], cancelled: Callable[[], bool]) -> None:
        """Waits until no other transaction has the tables under LOCK."""
        for table in sorted(set(tables)):
            with self._changed:
                self._wait(owner, self._exclusive, table, cancelled)

    def release(self, owner: object) -> None:
        with self._changed:
            for held in (self._writer, self._exclusive):
                for table in [t for t, holder in held.items() if holder is owner]:
                    del held[table]
            self._changed.notify_all()

    def _wait(self, owner: object, held: dict[str, object], table: str, cancelled: Callable[[], bool]) -> None:
        try:
            while (holder := held.get(table)) is not None and holder is not owner:
                if cancelled():
                    raise SqlError("ERROR: Query cancelled on user's request")
                self._waits_for[owner] = holder
                if self._is_deadlock(owner):
                    raise SqlError(f"ERROR: deadlock detected while waiting for table {table}")
                self._changed.wait(WAKE_SECONDS)
        finally:
            self._waits_for.pop(owner, None)

    def _is_deadlock(self, owner: object) -> bool:
        seen = self._waits_for.get(owner)
        while seen is not None:
            if seen is owner:
                return True
            seen = self._waits_for.get(seen)
        return False
