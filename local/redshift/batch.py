"""Runs the statements of one request of the Data API, in one transaction or in one for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from local.redshift.copy_from_s3 import LoadError
from local.redshift.errors import SqlError
from local.redshift.results import Result
from local.redshift.session import Session


def run(
    session: Session,
    statements: Sequence[str],
    parameters: Mapping[str, str],
    *,
    one_transaction: bool,
    on_result: Callable[[int, Result | SqlError], None],
) -> None:
    """Runs the statements in order and reports each result.

    Args:
        parameters: the values of `:name`, which the database casts as needed.
        one_transaction: whether the first error ends the whole; otherwise it is raised after the last statement.

    Raises:
        SqlError: A statement failed. A single transaction is rolled back as a whole.
    """
    session.cancelled.clear()
    first_error: SqlError | None = None
    for index, sql in enumerate(statements):
        try:
            result = session.statement(sql, parameters, in_transaction=one_transaction and len(statements) > 1)
            if not one_transaction and not session.in_block:
                session.end("COMMIT")
        except (SqlError, LoadError) as raised:
            session.end("ROLLBACK")
            session.in_block = False
            error = session.recorded(raised)
            on_result(index, error)
            if one_transaction:
                raise error from raised
            first_error = first_error or error
        else:
            on_result(index, result)
    if one_transaction and not session.in_block:
        session.end("COMMIT")
    if first_error:
        raise first_error
