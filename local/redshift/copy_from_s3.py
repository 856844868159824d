"""COPY from S3: Parquet by position and exact type, delimited text, CSV and JSON by line, with Redshift's errors.

Sources: Redshift Developer Guide, COPY and its usage notes; sys_load_error_detail.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from local.redshift.catalog import Column
from local.redshift.copy_errors import Detail, LoadError
from local.redshift.copy_parquet import copy_parquet
from local.redshift.copy_statement import Copy, parse_copy
from local.redshift.copy_text import copy_text
from local.redshift.errors import SqlError
from local.redshift.s3_objects import download, objects

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["Copy", "Detail", "LoadError", "parse_copy", "run_copy"]


def run_copy(
    con: duckdb.DuckDBPyConnection,
    s3: S3Client,
    sql: str,
    columns_of: Callable[[str], list[Column]],
    quoted: Callable[[str], str],
    folder: Path,
    urls: list[str] | None = None,
) -> tuple[str, int, set[str], list[Detail]]:
    """Runs a COPY inside the caller's transaction.

    Returns:
        (table, rows loaded, columns with new texts that end with blanks, errors that MAXERROR allowed).

    Args:
        urls: the objects, if they are already known; else those that the statement names.

    Raises:
        SqlError: The statement is invalid, or its objects do not exist in S3.
        LoadError: The data does not fit the table; with the rows for sys_load_error_detail.
    """
    copy = parse_copy(sql)
    columns = columns_of(copy.table)
    loadable = [c for c in columns if not c.identity_of]
    if copy.columns:
        by_name = {c.name: c for c in columns}
        if unknown := [c for c in copy.columns if c not in by_name]:
            raise SqlError(f'ERROR: column "{unknown[0]}" of relation "{copy.table}" does not exist')
        loadable = [by_name[name] for name in copy.columns]
    with tempfile.TemporaryDirectory(prefix="copy-", dir=folder) as name:
        if urls is None:
            urls = objects(
                s3, copy.source, is_manifest="MANIFEST" in copy.options, is_columnar=copy.format == "PARQUET"
            )
        files = download(s3, urls, Path(name))
        names = ", ".join(f'"{c.name}"' for c in loadable)
        into = f"INSERT INTO {quoted(copy.table)} ({names})"
        if copy.format == "PARQUET":
            rows, blanks = copy_parquet(con, copy.table, loadable, files, into)
            return copy.table, rows, blanks, []
        rows, blanks, passed = copy_text(con, s3, copy, loadable, files, into)
        return copy.table, rows, blanks, passed
