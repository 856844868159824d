"""Locks of tables, and conflicts of transactions.

A writer holds its tables until its transaction ends; LOCK also blocks readers.

Conflicts depend on the isolation level of the database. SNAPSHOT: the rows that a transaction changes must not have
changed since its snapshot was taken. SERIALIZABLE: in addition, there must be a serial order in which the transactions
would have read the same data. Redshift compares rows, this module compares tables: those in which a committed
transaction changed or deleted rows (insertions cause no conflict), and those that one transaction read and another
wrote in the meantime. Source: Redshift Database Developer Guide, "Isolation levels in Amazon Redshift".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from local.redshift.errors import SqlError

WAKE_SECONDS = 0.2  # interval at which a waiting session checks whether it was canceled


SNAPSHOT, SERIALIZABLE = "SNAPSHOT", "SERIALIZABLE"  # the default, and the alternative


def conflict(table: str) -> SqlError:
    return SqlError(f"ERROR:1023 DETAIL: Serializable isolation violation on table - {table}, in Redshift")


@dataclass(eq=False)
class Transaction:
    """The tables that a transaction read and wrote."""

    snapshot: int
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    committed: int | None = None  # the number of its commit

    def is_before(self, other: Transaction) -> bool:
        """Returns whether this one precedes the other in every serial order.

        This is so if the other saw it, or if it read tables that the other then wrote.
        """
        if self.committed is not None and self.committed <= other.snapshot:
            return bool(self.writes & (other.reads | other.writes) or self.reads & other.writes)
        return bool(self.reads & other.writes)


class Locks:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.conflicts: dict[str, int] = {}  # number of refused transactions by table
        self._transactions: list[Transaction] = []  # open ones and those that overlap with them
        self._writer: dict[str, object] = {}
        self._exclusive: dict[str, object] = {}
        self._waits_for: dict[object, object] = {}
        self._commits = 0
        self._changed_by: dict[str, int] = {}  # number of the last commit that changed rows, by table

    def begin(self) -> Transaction:
        """Returns a transaction that sees all committed data."""
        with self._changed:
            transaction = Transaction(self._commits)
            self._transactions.append(transaction)
            return transaction

    def note(
        self, transaction: Transaction, *, isolation: str, reads: Iterable[str] = (), writes: Iterable[str] = ()
    ) -> None:
        """Records the tables that a statement reads and writes.

        Raises:
            SqlError: The database is SERIALIZABLE, and the open transactions no longer have a serial order.
        """
        with self._changed:
            transaction.reads |= set(reads)
            transaction.writes |= set(writes)
            if isolation == SERIALIZABLE and self._is_in_circle(transaction):
                raise self._refused(min(transaction.writes | transaction.reads))

    def change(self, transaction: Transaction, table: str) -> None:
        """Checks that no transaction changed rows of the table since the snapshot.

        Raises:
            SqlError: A transaction did.
        """
        with self._changed:
            if self._changed_by.get(table, 0) > transaction.snapshot:
                raise self._refused(table)

    def _refused(self, table: str) -> SqlError:
        self.conflicts[table] = self.conflicts.get(table, 0) + 1
        return conflict(table)

    def _is_in_circle(self, transaction: Transaction) -> bool:
        seen: list[Transaction] = []
        later = [other for other in self._transactions if other is not transaction and transaction.is_before(other)]
        while later:
            other = later.pop()
            if other is transaction:
                return True
            if other not in seen:
                seen.append(other)
                later += [third for third in self._transactions if third is not other and other.is_before(third)]
        return False

    def end(self, transaction: Transaction, changed: Iterable[str], *, is_committed: bool) -> None:
        """Records the end of a transaction and, if it committed, the tables in which rows were changed or deleted."""
        with self._changed:
            if is_committed:
                self._commits += 1
                transaction.committed = self._commits
                self._changed_by |= dict.fromkeys(changed, self._commits)
            else:
                self._transactions.remove(transaction)
            oldest = min((t.snapshot for t in self._transactions if t.committed is None), default=self._commits)
            self._transactions = [t for t in self._transactions if t.committed is None or t.committed > oldest]

    def write(self, owner: object, tables: Iterable[str], cancelled: Callable[[], bool]) -> None:
        """Waits until no other transaction writes the tables, then holds them.

        Raises:
            SqlError: The wait was canceled, or there is a deadlock.
        """
        for table in sorted(set(tables)):
            with self._changed:
                self._wait(owner, self._writer, table, cancelled)
                self._writer[table] = owner

    def exclude(self, owner: object, tables: Iterable[str], cancelled: Callable[[], bool]) -> None:
        """Locks the tables like `write`, and makes readers wait as well (ACCESS EXCLUSIVE)."""
        names = sorted(set(tables))
        self.write(owner, names, cancelled)
        with self._changed:
            for table in names:
                self._exclusive[table] = owner

    def read(self, owner: object, tables: Iterable[str], cancelled: Callable[[], bool]) -> None:
        """Waits until no other transaction holds the tables with LOCK."""
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
