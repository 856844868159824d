"""Statements that are parsed and translated once and reused with other parameters, also in other sessions.

Parsing and translating takes a hundred times as long as DuckDB needs for a small statement. In the tree and in DuckDB's
SQL a parameter is represented by a mark, a string literal as its value would be, so the translation does not depend on
the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from sqlglot import exp

from local.redshift import dialect, system
from local.redshift.casts import LITERALS
from local.redshift.catalog import Column
from local.redshift.errors import SqlError
from local.redshift.functions.call import Clock
from local.redshift.marks import OPEN, filled, is_fillable, mark
from local.redshift.translation import Compiled, Translator

KEPT_STATEMENTS = 256
KEPT_TEXT_MAX = 20_000  # characters; longer ones are lists of values, which are not repeated
KEPT_TRANSLATIONS = 8  # for each statement: one for each state of its tables
_STATEMENT, _TRANSACTION = "statement time", "transaction time"  # names of parameters contain no blanks
_CLOCK = Clock(mark(_STATEMENT), mark(_TRANSACTION))

Found = tuple[str, str, list[Column]]  # schema and name of a table in DuckDB, and its columns
Lookup = Callable[[str, str], Found]


class Prepared:
    """A query, INSERT, UPDATE, DELETE or CREATE TABLE AS.

    Attributes:
        tree: the parsed statement with marks for the parameters. It must not be changed.
        tables: each table that it names, as schema.name or name.
    """

    def __init__(self, sql: str, tree: exp.Expr, names: frozenset[str]) -> None:
        self.sql, self.tree, self._names = sql, tree, names
        self.tables = tuple(dialect.tables_of(tree.expression if isinstance(tree, exp.Create) else tree))
        self._translated: dict[object, Compiled | None] = {}

    def compiled(self, lookup: Lookup, clock: Clock, facts: dict[str, str], parameters: Mapping[str, str]) -> Compiled:
        """Returns DuckDB's SQL with the values of parameters and clock; for CREATE TABLE AS, that of its query.

        Args:
            lookup: maps (schema or '', table) to the table.
            facts: database, schema and user, for the functions that return them.

        Raises:
            SqlError: A part of the statement has no translation.
        """
        known: dict[tuple[str, str], Found] = {}
        for table in self.tables:
            schema, _, name = table.rpartition(".")
            known[schema, name] = lookup(schema, name)
        state = (
            tuple((*key, place, name, tuple(columns)) for key, (place, name, columns) in known.items()),
            tuple(facts.items()),
        )
        if state not in self._translated:
            if len(self._translated) >= KEPT_TRANSLATIONS:
                self._translated.clear()
            self._translated[state] = self._once(lambda schema, name: known[schema, name], facts)
        kept = self._translated[state]
        if kept is None:  # the translation depends on the values
            bound = dialect.bind(self.sql, parameters)
            return Translator(bound, lambda schema, name: known[schema, name], clock, facts).statement(
                dialect.parse(bound)
            )
        values = {_STATEMENT: clock.statement, _TRANSACTION: clock.transaction, **parameters}
        return replace(kept, sql=filled(kept.sql, values, LITERALS))

    def _once(self, lookup: Lookup, facts: dict[str, str]) -> Compiled | None:
        try:
            found = Translator(self.sql, lookup, _CLOCK, facts).statement(self.tree)
        except SqlError:  # it depends on a value, or it is invalid and the message must name the value
            return None
        return found if is_fillable(found.sql, self._names) else None


@lru_cache(KEPT_STATEMENTS)
def _prepared(sql: str, names: frozenset[str]) -> Prepared | None:
    try:
        tree = dialect.parse(dialect.bind(sql, {name: mark(name) for name in names}))
    except SqlError:
        return None
    is_table_of_query = isinstance(tree, exp.Create) and tree.kind == "TABLE" and isinstance(tree.expression, exp.Query)
    if not is_table_of_query and not isinstance(tree, exp.Query | exp.Insert | exp.Update | exp.Delete):
        return None
    if tree.find(exp.Into) or any(map(system.concerns, tree.walk())):
        return None
    return Prepared(sql, tree, names)


def prepared(sql: str, parameters: Mapping[str, str]) -> Prepared | None:
    """Returns the statement, or None if it must be parsed with its values: of another kind, too long, or invalid.

    Values with trailing blanks are compared differently and empty values are concatenated differently, so statements
    with such values are not cached either.
    """
    if len(sql) > KEPT_TEXT_MAX or OPEN in sql:
        return None
    used = {name for _, _, name in dialect.split_placeholders(sql)} & parameters.keys()
    if any(parameters[name] == "" or parameters[name].endswith(" ") for name in used):
        return None
    return _prepared(sql, frozenset(used))
