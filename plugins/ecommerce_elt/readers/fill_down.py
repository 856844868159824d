"""Fills values down that a file has only on the first row of an order.

A value is copied from a row to the rows below it that have the same key, up to the first row with another key. It is
never copied into another order. Rows of one order that are not adjacent are not joined, so memory use does not grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecommerce_elt.feeds.contracts import Contract


class FillingDown:
    """Fills rows or records in file order. Each reading of a file needs its own instance.

    Args:
        contract: the contract of the feed, which has `fill_down`.
        keys: the keys of a row's columns, in their order. A row with more values than keys is not changed.
        header: the header as in the file. A repeated header among the rows of an order does not end the order.

    Attributes:
        filled: for each key, the number of values that were filled in.
    """

    def __init__(self, contract: Contract, keys: Sequence[str] = (), header: Sequence[Any] = ()) -> None:
        assert contract.fill_down
        self.key = contract.column(contract.fill_down.key).header
        self.columns = [contract.column(name).header for name in contract.fill_down.columns]
        self.filled: dict[str, int] = {}
        self._width = len(keys)
        places = {key: at for at, key in enumerate(keys)}
        self._key_at = places.get(self.key)
        self._header = str(header[self._key_at]).strip() if header and self._key_at is not None else None
        self._places = [(key, places[key]) for key in self.columns if key in places]
        self._order: Any = None
        self._values: dict[str, Any] = {}

    def rows(self, rows: list[Any]) -> list[Any]:
        """Returns the rows with values filled down; they must follow the rows of the last call."""
        if self._key_at is None or not self._places:
            return rows
        return [self._row(row) if self._key_at < len(row) <= self._width else row for row in rows]

    def _row(self, row: Any) -> Any:
        if row[self._key_at] == self._header:
            return row
        if not self._is_same_order(row[self._key_at]):
            self._values = {key: row[at] for key, at in self._places if at < len(row) and not _is_missing(row[at])}
            return row
        changed = row
        for key, at in self._places:
            value = row[at] if at < len(row) else None
            if not _is_missing(value):
                self._values[key] = value
            elif (kept := self._values.get(key)) is not None:
                if changed is row:
                    changed = [*row, *[""] * (self._width - len(row))]
                changed[at] = kept
                self.filled[key] = self.filled.get(key, 0) + 1
        return changed

    def record(self, record: dict[str, Any]) -> dict[str, Any]:
        """Returns the record with values filled down; it must follow the record of the last call."""
        if not self._is_same_order(record.get(self.key)):
            self._values = {key: record[key] for key in self.columns if not _is_missing(record.get(key))}
            return record
        for key in self.columns:
            if not _is_missing(value := record.get(key)):
                self._values[key] = value
            elif (kept := self._values.get(key)) is not None:
                record[key] = kept
                self.filled[key] = self.filled.get(key, 0) + 1
        return record

    def _is_same_order(self, key: Any) -> bool:
        order = key.strip() if isinstance(key, str) else key
        if order == self._order and not _is_missing(order):
            return True
        self._order = order
        return False


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
