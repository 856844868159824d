"""What is learned of the rows of a version's files before any model: counts, scalers of the training part, and a fingerprint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.features.data_sets import PARTS, Column, EmptyPartError
from ecommerce_elt.settings import Settings

TRAIN = "train"
DIGITS = 12  # of scalers: the last digits of a sum of floats depend on its order


@dataclass(frozen=True)
class Fitted:
    """Of one data set. `rows`: by part. `fingerprint`: the same for the same rows in any order. `scalers`: `as_json` of scalers.json."""

    rows: dict[str, int]
    fingerprint: str
    scalers: dict[str, Any]


def fit(name: str, files: Mapping[str, Sequence[Path]], columns: Sequence[Column], settings: Settings) -> Fitted:
    """Reads the Parquet files of a data set, and returns what they come to.

    Args:
        name: of the data set.
        files: part to its files, which do not have the part as a column.

    Raises:
        EmptyPartError: a part has no rows.
        PermanentError: the files have other columns than create.sql.
    """
    expected = [column.name for column in columns if column.name != "part"]
    rows, prints = {}, []
    with duckdb.connect(
        config={
            "memory_limit": f"{settings.clean_memory_bytes}B",
            "threads": 1,
            "temp_directory": str(settings.work_dir),
        }
    ) as engine:
        for part in PARTS:
            if not files.get(part):
                raise EmptyPartError(f"{name}: the part {part} has no rows; give cut_offs later in the data")
            read = engine.read_parquet([str(path) for path in files[part]], hive_partitioning=False)
            if read.columns != expected:
                raise PermanentError(f"{name}: the files have the columns {read.columns}, expected {expected}")
            # The 128 bits of each row's digest are summed, whatever the order of rows and files.
            sums = (
                "COUNT(*), SUM(md5_number_lower(CAST(read AS VARCHAR))), SUM(md5_number_upper(CAST(read AS VARCHAR)))"
            )
            [(count, *digests)] = read.set_alias("read").aggregate(sums).fetchall()
            rows[part] = int(count)
            prints.append(f"{part} {count} {digests}")
            if part == TRAIN:
                features = [column for column in columns if column.role == "feature"]
                scalers = {
                    "fitted_on": {"part": TRAIN, "rows": count},
                    "numeric": {c.name: _standard(read, c.name) for c in features if c.is_numeric},
                    "categories": {c.name: _categories(read, c.name) for c in features if not c.is_numeric},
                }
    return Fitted(rows, "; ".join(prints), scalers)


def _standard(read: duckdb.DuckDBPyRelation, name: str) -> dict[str, float]:
    """Returns mean, standard deviation of the population (1 where all values are equal), least and greatest value."""
    numbers = read.project(duckdb.ColumnExpression(name).cast("DOUBLE").alias("x"))
    [(mean, deviation, least, greatest)] = numbers.aggregate("AVG(x), STDDEV_POP(x), MIN(x), MAX(x)").fetchall()
    found = {"mean": mean, "scale": deviation or 1.0, "min": least, "max": greatest}
    return {key: float(f"{value:.{DIGITS}g}") for key, value in found.items()}


def _categories(read: duckdb.DuckDBPyRelation, name: str) -> list[str]:
    values = read.project(duckdb.ColumnExpression(name).alias("x")).distinct().order("x").fetchall()
    return [value for (value,) in values]
