"""Creation of tables in DuckDB and in the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.redshift.catalog import Column
from local.redshift.errors import SqlError
from local.redshift.names import quoted
from local.redshift.results import result_columns
from local.redshift.translation import Compiled

if TYPE_CHECKING:
    from local.redshift.session import Session


def described(session: Session, compiled: Compiled) -> list[Column]:
    """Returns the columns of a query, as a table or view stores them."""
    described = session.con.execute(f"DESCRIBE {compiled.sql}").fetchall()
    return result_columns(compiled.columns, [(row[0], row[1]) for row in described])


def make_table(session: Session, schema: str, name: str, columns: list[Column]) -> None:
    body = ", ".join(column.ddl() for column in columns)
    kind = "" if schema else "TEMPORARY "
    session.con.execute(f"CREATE {kind}TABLE {quoted(schema, name)} ({body})")
    session.catalog.keep(session.con, schema, name, columns)


def exists(session: Session, schema: str, name: str) -> bool:
    try:
        session.catalog.columns(session.con, schema, name)
    except SqlError:
        return False
    return True
