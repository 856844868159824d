"""Errors with the messages of Redshift and the Data API."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import duckdb


class SqlError(Exception):
    """A statement failed: it is described as FAILED with this text."""


def at_word(sql: str, word: str) -> str:
    return at(sql, r"\b" + re.escape(word) + r"\b")


def unsupported(what: str) -> SqlError:
    return SqlError(f"ERROR: {what} is not supported by the local Redshift stand-in")


def at(sql: str, pattern: str) -> str:
    """Returns the position of the first match of `pattern` in `sql` in Redshift's form, counted from one."""
    found = re.search(pattern, sql, re.IGNORECASE)
    return f"\n  Position: {found.start() + 1}" if found else ""


def syntax_error(sql: str, near: str, pattern: str | None = None) -> SqlError:
    return SqlError(f'ERROR: syntax error at or near "{near}"{at(sql, pattern or re.escape(near))}')


def from_duckdb(message: str, sql: str) -> SqlError:
    """Returns DuckDB's error with Redshift's message and the position in the original statement."""
    line = message.split("\n", 1)[0]
    if found := re.search(r'CHECK constraint failed on table "?([^" ]+)"? with expression .*<= (\d+)', line):
        return SqlError(f"ERROR: Value too long for type character varying({found[2]}) in table {found[1]}")
    if found := re.search(r"NOT NULL constraint failed: (?:.*\.)?(\S+)", line):
        return SqlError(f"ERROR: Cannot insert a NULL value into column {found[1]}")
    if found := re.search(r'(?:Table|View) with name "?([^\s"]+)"? does not exist', line):
        return SqlError(f'ERROR: relation "{found[1]}" does not exist{at_word(sql, found[1])}')
    if found := re.search(r'Schema with name "?(\w+)"? does not exist', line):
        return SqlError(f'ERROR: schema "{found[1]}" does not exist{at(sql, found[1])}')
    if found := re.search(r'(?:Referenced column|does not have a column named) "([^"]+)"', line):
        return SqlError(f'ERROR: column "{found[1]}" does not exist{at_word(sql, found[1])}')
    if found := re.search(r'[Ff]unction with name "?(\w+)"? does not exist', line):
        return SqlError(f"ERROR: function {found[1]}() does not exist{at(sql, found[1])}")
    if found := re.search(r"Could not convert string '(.*)' to INT\d+", line):
        return SqlError(f'ERROR: invalid input syntax for integer: "{found[1]}"')
    if "Division by zero" in line:
        return SqlError("ERROR: division by zero")
    if re.search(r"write-write conflict|Transaction conflict|Conflict on (tuple|update)|Catalog write", line):
        return SqlError("ERROR:1023 DETAIL: Serializable isolation violation on table in Redshift")
    if "INTERRUPT" in line:
        return SqlError("ERROR: Query cancelled on user's request")
    return SqlError(f"ERROR: {re.sub(r'^[A-Z][A-Za-z ]+ Error: ', '', line)}")


@contextlib.contextmanager
def duckdb_errors(sql: str) -> Iterator[None]:
    """Raises errors of DuckDB as those that Redshift has for the statement."""
    try:
        yield
    except duckdb.Error as error:
        raise from_duckdb(str(error), sql) from error
