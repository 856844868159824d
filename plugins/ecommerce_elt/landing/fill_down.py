"""Values that a file writes on the first row of an order alone, given to the order's other rows.

A value goes down from a row to the rows below it with the same key, up to the first row with another key: never into
another order, whatever is missing there. Rows of one order that lie apart are not put together, and memory does not grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecommerce_elt.feeds.contracts import Contract


class FillingDown:
    """Fills rows, or records that name their keys, in the order of the file; one for each reading of it.

    Args:
        keys: of the columns of a row, in its order. A row with more values than these is left as it is.
        header: as the file has it; where it is repeated among an order's rows, it ends no order.

    Attributes:
        filled: key to the number of values that it was given.
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
        """Returns the rows that follow those of the last call, filled."""
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
        """Returns the record that follows the one of the last call, filled."""
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
