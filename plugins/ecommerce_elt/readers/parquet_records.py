"""Reads the rows of Parquet files as records, with times and decimals as texts. Imports pyarrow, which is slow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.readers.json_records import too_long
from ecommerce_elt.settings import FileLimits

PARQUET_ROWS = 100  # rows at a time: each may have the largest allowed length
BROKEN_PARQUET = (pa.ArrowException, OSError)


def parquet_records(path: Path, name: object, limits: FileLimits) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the rows of a Parquet file, numbered from 1.

    Raises:
        PermanentError: the file is damaged or exceeds a limit.
    """
    try:
        # Texts are read as dictionaries, so that a repeated text is in memory only once until it is decoded.
        texts = [f.name for f in pq.read_schema(path) if pa.types.is_string(f.type) or pa.types.is_binary(f.type)]
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, read_dictionary=texts) as file:
            _check(file.metadata, name, limits)
            row = 0
            for batch in file.iter_batches(PARQUET_ROWS, use_threads=False):
                columns = [
                    _values(column, f"{name}: row {row + 1} or one of the next {PARQUET_ROWS}", limits)
                    for column in batch.columns
                ]
                for values in zip(*columns, strict=True):
                    row += 1
                    yield row, {k: v for k, v in zip(batch.schema.names, values, strict=True) if v is not None}
    except BROKEN_PARQUET as error:
        raise PermanentError(
            f"{name}: cannot be read as Parquet: {type(error).__name__}. Copy the file anew from where it came"
        ) from None


def parquet_keys(path: Path, name: object) -> list[str]:
    """Returns the names of the columns."""
    try:
        return list(pq.read_schema(path).names)
    except BROKEN_PARQUET as error:
        raise PermanentError(
            f"{name}: cannot be read as Parquet: {type(error).__name__}. Copy the file anew from where it came"
        ) from None


def _check(metadata: pq.FileMetaData, name: object, limits: FileLimits) -> None:
    for group in range(metadata.num_row_groups):
        found = metadata.row_group(group)
        for number in range(found.num_columns):
            column = found.column(number)
            values_bytes = 8 * column.num_values if column.num_values > found.num_rows else 0  # the column has lists
            if max(column.total_uncompressed_size, values_bytes) > limits.column_chunk_bytes:
                raise PermanentError(
                    f"{name}: column {column.path_in_schema} has {column.total_uncompressed_size:,} bytes and "
                    f"{column.num_values:,} values in row group {group + 1}, and "
                    f"{limits.column_chunk_bytes:,} are allowed. Write smaller row groups, or raise ECOMMERCE_FILE_COLUMN_CHUNK_BYTES"
                )


def _values(column: pa.Array, where: str, limits: FileLimits) -> list[Any]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        texts = column.dictionary
        if texts.nbytes > limits.row_bytes and (pc.max(pc.binary_length(texts)).as_py() or 0) > limits.row_bytes:
            raise too_long(where, limits)
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)  # truncated to microseconds
    elif pa.types.is_float16(kind) or pa.types.is_float32(kind):
        column = column.cast(pa.string()).cast(
            pa.float64()
        )  # the shortest decimal for this float: 2.55, not 2.549999952316284
    elif pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)  # pandas writes NaN for a missing value
    found = column.to_pylist()
    is_plain = (
        pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )
    return found if is_plain else [_as_written(value) for value in found]


def _as_written(value: Any) -> Any:
    """Returns a value as its source would write it in JSON."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case timedelta():
            return str(value)
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case list() | tuple():
            return [_as_written(item) for item in value]
        case Mapping():
            return {str(key): _as_written(item) for key, item in value.items()}
        case _:
            return value
