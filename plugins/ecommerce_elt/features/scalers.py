"""Computes counts, scalers of the training part, and a fingerprint from the files of a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ecommerce_elt.cleaning.engine import bounded_engine
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.features.data_sets import PARTS, Column, EmptyPartError
from ecommerce_elt.settings import Settings

TRAIN = "train"
DIGITS = 12  # digits of scalers, since the last digits of a sum of floats depend on its order


@dataclass(frozen=True)
class Fitted:
    (
        """The results for one data set.

    Attributes:
        rows: the number of rows of each part.
        fingerprint: a text that is the same for the same rows in any order.
        scalers: the entry of the data set in scalers.json.
    """
        ""
    )

    rows: dict[str, int]
    fingerprint: str
    scalers: dict[str, Any]


def fit(name: str, files: Mapping[str, Sequence[Path]], columns: Sequence[Column], settings: Settings) -> Fitted:
    """Reads the Parquet files of a data set, and returns counts, fingerprint and scalers.

    Args:
        name: the name of the data set.
        files: the files of each part. They do not have the part as a column.
        columns: the columns of the data set.
        settings: the settings.

    Raises:
        EmptyPartError: a part has no rows.
        PermanentError: the columns of the files differ from create.sql.
    """
    expected = [column.name for column in columns if column.name != "part"]
    rows, prints = {}, []
    # One thread: the order in which floats are added up decides on their last digits.
    with bounded_engine(
        settings.work_dir,
        memory_bytes=settings.clean_memory_bytes,
        threads=1,
        spill_max_bytes=settings.spill_max_bytes,
    ) as engine:
        for part in PARTS:
            if not files.get(part):
                raise EmptyPartError(f"{name}: the part {part} has no rows; give cut_offs later in the data")
            read = engine.read_parquet([str(path) for path in files[part]], hive_partitioning=False)
            if read.columns != expected:
                raise PermanentError(f"{name}: the files have the columns {read.columns}, expected {expected}")
            # The sum of the 128 bits of each row's digest does not depend on the order of rows and files.
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
    """Returns mean, population standard deviation (1 if all values are equal), minimum and maximum."""
    numbers = read.project(duckdb.ColumnExpression(name).cast("DOUBLE").alias("x"))
    [(mean, deviation, least, greatest)] = numbers.aggregate("AVG(x), STDDEV_POP(x), MIN(x), MAX(x)").fetchall()
    found = {"mean": mean, "scale": deviation or 1.0, "min": least, "max": greatest}
    return {key: float(f"{value:.{DIGITS}g}") for key, value in found.items()}


def _categories(read: duckdb.DuckDBPyRelation, name: str) -> list[str]:
    values = read.project(duckdb.ColumnExpression(name).alias("x")).distinct().order("x").fetchall()
    return [value for (value,) in values]
