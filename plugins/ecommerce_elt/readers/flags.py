"""The properties of a file that a user gives because they cannot be detected."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Flags:
    """The answers of a user. None, or an empty value, leaves the question to the file."""

    encoding: str | None = None
    delimiter: str | None = None
    date_order: str | None = None
    decimal_comma: bool | None = None  # False means a decimal point
    sheet: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    data_set: str | None = None
    event_version: int = 1  # above 1, the file corrects earlier events of the same data set
    identity: str | None = None  # "file" or "rows"; overrides the contract
