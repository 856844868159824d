"""SearchTables: tables of the Data Catalog by text or by filters. Source: Glue API reference, SearchTables.

A text is split into words at characters other than letters, digits and underscores. A filter or a search without quotes
finds the tables with a word or a whole text that equals the requested one; a search in quotes compares only whole
texts. Glue does not publish all characters at which it splits; it names -, : and #. If the result would depend on
splitting at an underscore, the search is refused. So are filters and orders by fields other than those below, and
searches for several words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from local.protocol import ApiError

FILTERS = ("Name", "DatabaseName", "Description", "Owner")
ORDERS = ("Name", "DatabaseName", "CreateTime", "UpdateTime")
PAGE = 100


def search(tables: Iterable[dict[str, Any]], r: dict[str, Any]) -> dict[str, Any]:
    """Returns the response: a page of the tables, ordered by database and name unless another order is requested.

    Raises:
        ApiError: InvalidInputException, if the request is invalid or its result on AWS is uncertain.
    """
    # No other account shares tables with the local one.
    shared_alone = r.get("ResourceShareType") in {"FOREIGN", "FEDERATED"}
    found = [] if shared_alone else [t for t in tables if _is_found(t, r)]
    found.sort(key=lambda t: (t["DatabaseName"], t["Name"]))
    for criterion in r.get("SortCriteria", []):
        field = criterion.get("FieldName")
        if field not in ORDERS:
            raise _refused(f"SortCriteria by {field!r}: expected one of {', '.join(ORDERS)}")
        found.sort(key=lambda t: t[field], reverse=criterion.get("Sort") == "DESC")
    token, size = r.get("NextToken") or "0", r.get("MaxResults", PAGE)
    if not token.isdecimal():
        raise ApiError("InvalidInputException", "NextToken: expected the one of an answer of SearchTables")
    start = int(token)
    rest = {"NextToken": str(start + size)} if start + size < len(found) else {}
    return {"TableList": found[start : start + size]} | rest


def _refused(what: str) -> ApiError:
    return ApiError("InvalidInputException", f"{what}; others are not supported by the local Glue stand-in")


def _is_found(table: dict[str, Any], r: dict[str, Any]) -> bool:
    for predicate in r.get("Filters", []):
        key, value = predicate.get("Key"), predicate.get("Value", "")
        if key not in FILTERS:
            raise _refused(f"Filters by {key!r}: expected one of {', '.join(FILTERS)}")
        if predicate.get("Comparator", "EQUALS") != "EQUALS":
            raise ApiError("InvalidInputException", f"Comparator is used for time fields only, {key} is none")
        if not _has(table.get(key, ""), value):
            return False
    text = r.get("SearchText")
    if text is None:
        return True
    if len(text) > 2 and text[0] == text[-1] == '"':
        return text[1:-1] in set(_texts(table))
    if not re.fullmatch(r"\w+", text):
        raise _refused(f"SearchText {text!r}: expected one word, or a text in quotes")
    return any(_has(each, text) for each in _texts(table))


def _has(text: str, wanted: str) -> bool:
    wanted, text = wanted.lower(), text.lower()
    words = re.split(r"\W+", text)
    if wanted == text or wanted in words:
        return True
    if any(wanted in word.split("_") for word in words):
        raise ApiError(
            "InvalidInputException",
            f"{wanted!r} is a part of {text!r} between underscores: whether Glue splits there is not published, "
            "and not supported by the local Glue stand-in; search for the whole name",
        )
    return False


def _texts(table: dict[str, Any]) -> Iterator[str]:
    yield from (table[name] for name in FILTERS if table.get(name))
    storage = table.get("StorageDescriptor", {})
    for column in [*storage.get("Columns", []), *table.get("PartitionKeys", [])]:
        yield column["Name"]
        if column.get("Comment"):
            yield column["Comment"]
    yield from (str(value) for value in table.get("Parameters", {}).values())
