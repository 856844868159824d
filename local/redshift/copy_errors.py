"""Errors in the data of a COPY, as sys_load_error_detail shows them."""

from __future__ import annotations

from dataclasses import dataclass

DETAILS_MAX = 100  # maximum rows of one failed load in sys_load_error_detail


@dataclass(frozen=True)
class Detail:
    """One row of sys_load_error_detail."""

    file_name: str
    line_number: int
    column_name: str
    column_type: str
    column_length: int | None
    code: int
    message: str


class LoadError(Exception):
    def __init__(self, table: str, details: list[Detail]) -> None:
        super().__init__(details[0].message)
        self.table, self.details = table, details
