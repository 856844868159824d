"""Validation of the definitions of analyses and dashboards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def errors_of(
    definition: dict[str, Any], columns_of: Callable[[str], dict[str, str] | None]
) -> Iterator[dict[str, Any]]:
    """Yields an error for each data set that does not exist and each column that its data set does not have.

    Args:
        definition: the definition of an analysis or dashboard.
        columns_of: returns the columns of a data set by its id, or None if there is no such data set.
    """
    declared: dict[str, dict[str, str]] = {}
    for declaration in definition.get("DataSetIdentifierDeclarations", []):
        name = declaration["DataSetArn"].rsplit("/", 1)[-1]
        columns = columns_of(name)
        if columns is None:
            yield {"Type": "DATA_SET_NOT_FOUND", "Message": f"data set {name} is not found"}
            continue
        declared[declaration["Identifier"]] = columns
    for calculated in definition.get("CalculatedFields", []):
        declared.get(calculated["DataSetIdentifier"], {})[calculated["Name"]] = "DECIMAL"
    for where, column in _column_identifiers(definition, "Definition"):
        name, data_set = column["ColumnName"], column["DataSetIdentifier"]
        if data_set not in declared:
            yield {"Type": "DATA_SET_NOT_FOUND", "Message": f"{where}: {data_set} is not declared"}
        elif name not in declared[data_set]:
            yield {"Type": "COLUMN_REPLACEMENT_MISSING", "Message": f"{where}: {data_set} has no column {name}"}


def _column_identifiers(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (path, ColumnIdentifier) of each column that a definition uses."""
    if isinstance(value, dict):
        if {"DataSetIdentifier", "ColumnName"} <= set(value):
            yield where, value
        for name, inner in value.items():
            yield from _column_identifiers(inner, f"{where}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _column_identifiers(inner, f"{where}[{number}]")
