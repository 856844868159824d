"""COMMENT ON. Source: Redshift Developer Guide, COMMENT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.redshift.catalog import SYSTEM_SCHEMA
from local.redshift.errors import SqlError, syntax_error, unsupported
from local.redshift.names import DDL_LOCK
from local.redshift.reader import Reader
from local.redshift.results import Result

if TYPE_CHECKING:
    from local.redshift.session import Session

COMMENTS = f"{SYSTEM_SCHEMA}.comments"
# Comments on a relation, on one of its columns or constraints (`part`), or on the database (no schema and name).
BOOTSTRAP = f"""
CREATE TABLE IF NOT EXISTS {COMMENTS} (
    kind VARCHAR, table_schema VARCHAR, table_name VARCHAR, part VARCHAR, description VARCHAR
);
"""


def comment(session: Session, sql: str, in_transaction: bool) -> Result:
    """Stores the comment, and replaces an earlier one; NULL removes it.

    Raises:
        SqlError: The object does not exist.
    """
    reader = Reader(sql)
    session.lock([DDL_LOCK])
    session.begin()
    reader.expect("COMMENT", "ON")
    kind = reader.one_of({"TABLE", "VIEW", "COLUMN", "CONSTRAINT", "DATABASE"})
    part = None
    if kind is None:
        raise syntax_error(sql, "ON")
    if kind == "DATABASE":
        if reader.name() != session.engine.database_name:
            raise unsupported("a comment on another database")
        place = name = ""
    elif kind == "CONSTRAINT":
        part = reader.name()
        reader.expect("ON")
        place, name = _relation(session, reader.path())
        known = f"SELECT 1 FROM {SYSTEM_SCHEMA}.keys WHERE table_schema = ? AND table_name = ? AND name = ?"
        if not session.con.execute(known, [place, name, part]).fetchone():
            raise SqlError(f'ERROR: constraint "{part}" for table "{name}" does not exist')
    else:
        path = reader.path()
        if kind == "COLUMN":
            *path_list, part = path
            path = tuple(path_list)
            if not path:
                raise SqlError("ERROR: column name must be qualified")
        place, name = _relation(session, path)
        if kind == "COLUMN" and all(c.name != part for c in session.lookup(place, name)[2]):
            raise SqlError(f'ERROR: column "{part}" of relation "{name}" does not exist')
        is_view = bool(
            session.con.execute(
                f"SELECT 1 FROM {SYSTEM_SCHEMA}.relations WHERE schema = ? AND name = ? AND kind = 'v'", [place, name]
            ).fetchone()
        )
        if kind == "TABLE" and is_view:
            raise SqlError(f'ERROR: "{name}" is not a table')
        if kind == "VIEW" and not is_view:
            raise SqlError(f'ERROR: "{name}" is not a view')
    reader.expect("IS")
    text = None if reader.accept("NULL") else reader.text()
    reader.end()
    kept_as = "relation" if kind in {"TABLE", "VIEW"} else kind.lower()
    session.con.execute(
        f"DELETE FROM {COMMENTS} WHERE kind = ? AND table_schema = ? AND table_name = ? AND part IS NOT DISTINCT FROM ?",
        [kept_as, place, name, part],
    )
    if text is not None:
        session.con.execute(f"INSERT INTO {COMMENTS} VALUES (?, ?, ?, ?, ?)", [kept_as, place, name, part, text])
    return Result(touched=0)


def _relation(session: Session, path: tuple[str, ...]) -> tuple[str, str]:
    place, name, _ = session.lookup(path[-2] if len(path) > 1 else "", path[-1])
    if place in {"", SYSTEM_SCHEMA}:
        raise unsupported(f"a comment on {'.'.join(path)}, which is temporary or the system's,")
    return place, name
