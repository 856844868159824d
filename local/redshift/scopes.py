"""Scopes of names: the sources of a query, those of its outer queries, and the queries of WITH."""

from __future__ import annotations

from dataclasses import dataclass, field

from local.redshift.errors import SqlError
from local.redshift.types import SUPER, Type

Columns = list[tuple[str, Type]]


@dataclass
class Source:
    """A table, view, subquery or WITH query in a FROM, with its name in the query."""

    name: str
    columns: Columns
    schema: str = ""

    def get(self, column: str) -> Type | None:
        return next((kind for name, kind in self.columns if name == column), None)


@dataclass
class Scope:
    parent: Scope | None = None
    sources: list[Source] = field(default_factory=list)
    ctes: dict[str, Columns] = field(default_factory=dict)
    aliases: dict[str, Type] = field(default_factory=dict)  # of the select list up to now
    merged: set[str] = field(default_factory=set)  # columns that USING merged
    sees_aliases: bool = False

    def cte(self, name: str) -> Columns | None:
        scope: Scope | None = self
        while scope:
            if name in scope.ctes:
                return scope.ctes[name]
            scope = scope.parent
        return None

    def source(self, name: str) -> Source | None:
        scope: Scope | None = self
        while scope:
            found = next((s for s in scope.sources if s.name == name), None)
            if found:
                return found
            scope = scope.parent
        return None

    def column(self, name: str) -> Type | None:
        """Returns the type of a column that is named without its table, or None.

        Raises:
            SqlError: Two sources have such a column.
        """
        scope: Scope | None = self
        while scope:
            found = [kind for s in scope.sources for n, kind in s.columns if n == name]
            if len(found) > 1 and name not in scope.merged:
                raise SqlError(f'ERROR: column reference "{name}" is ambiguous')
            if found:
                return found[0]
            if scope.sees_aliases and name in scope.aliases:
                return scope.aliases[name]
            scope = scope.parent
        return None

    def super_source(self, name: str) -> bool:
        """Returns whether `name` is a column of type SUPER, so that a dot after it navigates into the value."""
        return self.source(name) is None and self.column(name) == SUPER
