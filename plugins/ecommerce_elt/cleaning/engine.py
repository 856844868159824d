"""DuckDB for tasks, with limits for memory and spilling, and without extensions installed at run time."""

from __future__ import annotations

from pathlib import Path

import duckdb

from ecommerce_elt.settings import Settings

# DuckDB turns each IN with a list of words into a join that carries all columns. For 160 columns with their missing
# words, this takes 16 times as long as comparisons; for few columns, both take the same time.
COMPARE_WORDS = "SET disabled_optimizers = 'in_clause'"


def bounded_engine(
    work: Path, *, memory_bytes: int, threads: int, spill_max_bytes: int | None, database: str = ":memory:"
) -> duckdb.DuckDBPyConnection:
    """Returns a connection that spills into the folder `work`. The caller has to close it.

    Args:
        work: the folder.
        memory_bytes: limit for memory.
        threads: number of threads.
        spill_max_bytes: limit for spilling; None means DuckDB's own limit of nine tenths of the free disk space.
        database: name of the database file in `work`; by default, the database is in memory.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_bytes // 1024**2}MiB",
        "threads": threads,
        "temp_directory": str(work / "spill"),
        "autoinstall_known_extensions": False,
    }
    opened = duckdb.connect(database if database == ":memory:" else work / database, config=config)
    if spill_max_bytes:
        # DuckDB 2.0 ignores this setting in the configuration of the connection.
        opened.execute(f"SET max_temp_directory_size = '{spill_max_bytes // 1024**2}MiB'")
    return opened


def engine_of(settings: Settings, work: Path, database: str = ":memory:") -> duckdb.DuckDBPyConnection:
    """Returns a `bounded_engine` with the limits in the settings."""
    return bounded_engine(
        work,
        memory_bytes=settings.clean_memory_bytes,
        threads=settings.clean_threads,
        spill_max_bytes=settings.spill_max_bytes,
        database=database,
    )
