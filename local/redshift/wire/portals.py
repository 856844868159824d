"""Prepared statements and portals, which a connection keeps between the messages of its client."""

from __future__ import annotations

from dataclasses import dataclass, field

from local.redshift.catalog import Column
from local.redshift.errors import SqlError
from local.redshift.wire.rows import Rows


@dataclass
class Prepared:
    """A statement with places for parameters."""

    sql: str
    oids: list[int]
    columns: list[Column] | None = None
    is_described: bool = False
    types: tuple[str, ...] = ()  # types of SQL's PREPARE


@dataclass
class Portal:
    """A statement with its parameters and its remaining rows; cursors are portals, too."""

    sql: str
    formats: list[int] = field(default_factory=list)
    prepared: Prepared | None = None
    columns: list[Column] | None = None
    rows: Rows | None = None
    tag: str = ""
    is_cursor: bool = False


class Kept:
    """The prepared statements and the portals of one connection, by name. The empty name is the latest one."""

    def __init__(self) -> None:
        self.statements: dict[str, Prepared] = {}
        self.portals: dict[str, Portal] = {}

    def check_new_statement(self, name: str) -> None:
        if name and name in self.statements:
            raise SqlError(f'ERROR: prepared statement "{name}" already exists')

    def check_new_portal(self, name: str) -> None:
        if name and name in self.portals:
            raise SqlError(f'ERROR: cursor "{name}" already exists')

    def statement(self, name: str) -> Prepared:
        if name not in self.statements:
            raise SqlError(f'ERROR: prepared statement "{name}" does not exist')
        return self.statements[name]

    def portal(self, name: str) -> Portal:
        if name not in self.portals:
            raise SqlError(f'ERROR: portal "{name}" does not exist')
        return self.portals[name]

    def cursor(self, name: str) -> Portal:
        found = self.portals.get(name)
        if found is None or not found.is_cursor:
            raise SqlError(f'ERROR: cursor "{name}" does not exist')
        return found

    def cursors(self) -> list[str]:
        return [name for name, portal in self.portals.items() if portal.is_cursor]

    def close_portals(self, *, all_of_them: bool) -> None:
        """Closes the rows of every portal, and forgets the cursors, or all portals."""
        for name, portal in list(self.portals.items()):
            if portal.rows:
                portal.rows.close()
            if all_of_them or portal.is_cursor:
                del self.portals[name]
