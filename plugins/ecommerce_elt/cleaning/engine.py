"""DuckDB in a task: bounded memory, bounded spilling, and nothing installed at run time."""

from __future__ import annotations

from pathlib import Path

import duckdb

from ecommerce_elt.settings import Settings

# DuckDB makes a join of each IN with a list of words, which carries all columns: for 160 columns with their missing words, that takes
# 16 times as long as to compare, and for few columns as long.
COMPARE_WORDS = "SET disabled_optimizers = 'in_clause'"


def bounded_engine(
    work: Path, *, memory_bytes: int, threads: int, spill_max_bytes: int | None, database: str = ":memory:"
) -> duckdb.DuckDBPyConnection:
    """Returns a connection that spills into the folder `work`; to be closed.

    Args:
        spill_max_bytes: None lets it take nine tenths of the disk that is free, DuckDB's own limit.
        database: a file of `work`, or none.
    """
    config: dict[str, str | int | bool] = {
        "memory_limit": f"{memory_bytes // 1024**2}MiB",
        "threads": threads,
        "temp_directory": str(work / "spill"),
        "autoinstall_known_extensions": False,
    }
    opened = duckdb.connect(database if database == ":memory:" else work / database, config=config)
    if spill_max_bytes:
        # DuckDB 2.0 forgets this one where it is given while connecting.
        opened.execute(f"SET max_temp_directory_size = '{spill_max_bytes // 1024**2}MiB'")
    return opened


def engine_of(settings: Settings, work: Path, database: str = ":memory:") -> duckdb.DuckDBPyConnection:
    """Returns `bounded_engine` within the limits of the settings."""
    return bounded_engine(
        work,
        memory_bytes=settings.clean_memory_bytes,
        threads=settings.clean_threads,
        spill_max_bytes=settings.spill_max_bytes,
        database=database,
    )
