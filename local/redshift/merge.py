"""MERGE, with the restrictions of Redshift."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from local.redshift import dialect
from local.redshift.errors import SqlError
from local.redshift.names import count_of, name_of, split
from local.redshift.results import Result

if TYPE_CHECKING:
    from local.redshift.session import Session


def merge_command(session: Session, sql: str, in_transaction: bool) -> Result:
    if re.search(r"\bREMOVE\s+DUPLICATES\s*;?\s*$", sql, re.IGNORECASE):
        return _remove_duplicates(session, sql)
    tree = dialect.parse(sql)
    assert isinstance(tree, exp.Merge)
    return _merge(session, tree, sql)


def _merge(session: Session, tree: exp.Merge, sql: str) -> Result:
    target, source = tree.this, tree.args["using"]
    name = name_of(target)
    if isinstance(source, exp.Table) and name_of(source) == name:
        raise SqlError("ERROR: MERGE source and target must be different tables")
    session.lock([name])
    session.begin()
    place, _, columns = session.lookup(*split(name))
    whens = tree.args["whens"].expressions
    insert = whens[1].args["then"]
    if not insert.expression:  # INSERT VALUES (...) fills the columns in order; sqlglot parses a function VALUES()
        insert.set("expression", exp.Tuple(expressions=insert.this.expressions[0].expressions))
        insert.set("this", exp.Tuple(expressions=[exp.column(c.name) for c in columns]))
    session.note(reads={name} | session.bases(dialect.tables_of(source)), writes=[name])
    compiled, doubled, matching = session.translator(sql).merge(tree, columns)
    if session.con.execute(doubled).fetchall():
        raise SqlError("ERROR: Found multiple matches to update the same tuple.")
    changes = bool(session.con.execute(matching).fetchall())
    touched = count_of(session.con.execute(compiled.sql))
    session.mark_blanks(place, split(name)[1], columns, compiled.blanks)
    if changes:
        session.changed(name)
    return Result(touched=touched)


def _remove_duplicates(session: Session, sql: str) -> Result:
    """Runs MERGE INTO t USING s ON ... REMOVE DUPLICATES: rows of s replace those of t, and duplicates are removed."""
    head = re.sub(r"\bREMOVE\s+DUPLICATES\s*;?\s*$", "", sql.strip(), flags=re.IGNORECASE)
    whole = head + " WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)"
    tree = dialect.parse(whole)
    assert isinstance(tree, exp.Merge)
    name = name_of(tree.this)
    session.lock([name])
    session.begin()
    session.note(reads={name} | session.bases(dialect.tables_of(tree.args["using"])), writes=[name])
    delete, fill = session.translator(sql).remove_duplicates(tree)
    deleted = count_of(session.con.execute(delete))
    return Result(touched=deleted + count_of(session.con.execute(fill)))
