"""Commands that sqlglot does not parse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import exp

from local.redshift import comments, copy_jobs, dialect, materialized, privileges
from local.redshift.ddl import alter
from local.redshift.errors import SqlError, syntax_error, unsupported
from local.redshift.merge import merge_command
from local.redshift.names import TABLE_NAME, bare, split, unquoted
from local.redshift.results import Result
from local.redshift.show import show
from local.redshift.translation import Compiled
from local.redshift.unload import run_unload

if TYPE_CHECKING:
    from local.redshift.session import Session


def _lock_tables(session: Session, sql: str, in_transaction: bool) -> Result:
    found = re.fullmatch(rf"LOCK\s+(?:TABLE\s+)?({TABLE_NAME}(?:\s*,\s*{TABLE_NAME})*)\s*;?", bare(sql), re.IGNORECASE)
    if not found:
        raise syntax_error(sql, bare(sql).split()[-1])
    names = [unquoted(name.strip()) for name in found[1].split(",")]
    names = [name if "." in name else f"public.{name}" for name in names]
    if not in_transaction:
        raise SqlError("ERROR: LOCK TABLE may only be used in transaction blocks")
    for name in names:  # looked up on a separate connection: a lock starts no snapshot
        session.engine.require_table(*split(name))
    session.engine.locks.exclude(session, names, session.cancelled.is_set)
    return Result(touched=0)


def _copy(session: Session, sql: str, in_transaction: bool) -> Result:
    if copy_jobs.is_about_a_job(sql):
        return copy_jobs.run(session, sql, in_transaction)
    return Result(touched=copy_jobs.copied(session, sql))


def _unload(session: Session, sql: str, in_transaction: bool) -> Result:
    def select(query: str) -> Compiled:
        tree = dialect.parse(query)
        if not isinstance(tree, exp.Query):
            raise syntax_error(query, query.split()[0])
        if tree.args.get("limit"):
            raise SqlError("ERROR: Limit clause is not supported in the outer SELECT of UNLOAD")
        session.begin()
        session.note(reads=session.bases(dialect.tables_of(tree)))
        return session.translator(query).query(tree)

    return Result(touched=run_unload(session.con, session.engine.s3, sql, select))


def _vacuum(session: Session, sql: str, in_transaction: bool) -> Result:
    if in_transaction:
        raise SqlError("ERROR: VACUUM cannot run inside a transaction block")
    found = re.fullmatch(
        rf"VACUUM(?:\s+(?:FULL|SORT\s+ONLY|DELETE\s+ONLY|REINDEX|RECLUSTER))?(?:\s+{TABLE_NAME})?.*",
        bare(sql),
        re.IGNORECASE,
    )
    if found and found[1]:
        session.engine.require_table(*split(unquoted(found[1])))
    session.end("COMMIT")
    session.con.execute("CHECKPOINT")
    return Result(touched=0)


def _begin(session: Session, sql: str, in_transaction: bool) -> Result:
    session.in_block = True
    return Result(touched=0)


def _commit(session: Session, sql: str, in_transaction: bool) -> Result:
    session.end("COMMIT")
    session.in_block = False
    return Result(touched=0)


def _rollback(session: Session, sql: str, in_transaction: bool) -> Result:
    session.end("ROLLBACK")
    session.in_block = False
    return Result(touched=0)


def _alter(session: Session, sql: str, in_transaction: bool) -> Result:
    """Runs ALTER TABLE, or ALTER DATABASE ... ISOLATION LEVEL.

    On Redshift the latter also requires that no other user is connected.
    """
    found = re.fullmatch(
        r"ALTER\s+DATABASE\s+\S+\s+ISOLATION\s+LEVEL\s+(SNAPSHOT|SERIALIZABLE)\s*;?", bare(sql), re.IGNORECASE
    )
    if found and in_transaction:
        raise SqlError("ERROR: ALTER DATABASE cannot run inside a transaction block")
    if found:
        session.engine.isolate(found[1].upper())
        return Result(touched=0)
    tree = dialect.parse(sql)
    dialect.check_known(tree)
    if not isinstance(tree, exp.Alter):
        raise unsupported(" ".join(bare(sql).split()[:2]).upper())
    return alter(session, tree, sql, in_transaction)


Command = Callable[["Session", str, bool], Result]
COMMANDS: dict[str, Command] = {
    "ALTER": _alter,
    "COMMENT": comments.comment,
    "GRANT": privileges.grant,
    "REFRESH": materialized.refresh,
    "REVOKE": privileges.revoke,
    "LOCK": _lock_tables,
    "COPY": _copy,
    "UNLOAD": _unload,
    "VACUUM": _vacuum,
    "SHOW": show,
    "MERGE": merge_command,
    "BEGIN": _begin,
    "START": _begin,
    "COMMIT": _commit,
    "END": _commit,
    "ROLLBACK": _rollback,
    "ABORT": _rollback,
}


def command_of(words: tuple[str, ...]) -> Command | None:
    """Returns the command for a statement with these first words, or None for a query, DML, or DDL of tables."""
    if words[0] in _MAKING and privileges.is_about_identities(words):
        return privileges.command
    return COMMANDS.get(words[0])


_MAKING = {"CREATE", "DROP", "ALTER"}
