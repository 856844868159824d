"""Views of DuckDB over the objects of a table, with the columns and types of the Data Catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from sqlglot import exp

from local.athena.objects import Object, Objects
from local.athena.results import QueryFailed
from local.athena.text_tables import TextTable, Unreadable, text_table

if TYPE_CHECKING:
    from types_boto3_glue.type_defs import TableTypeDef

PATH = "$path"  # the hidden column for the object of a row
_DUCKDB = {"string": "VARCHAR", "int": "INTEGER", "binary": "BLOB"}


def _duckdb_type(kind: str) -> str:
    """Returns the DuckDB type of a Hive type."""
    if kind.startswith(("struct", "array", "map")):
        return str(exp.DataType.build(kind, dialect="hive").sql("duckdb"))
    return _DUCKDB.get(kind, kind.upper())


def create_view(
    engine: duckdb.DuckDBPyConnection,
    view: str,
    table: TableTypeDef,
    keys: list[str],
    objects: list[Object],
    copies: Objects,
) -> None:
    """Creates a view over the objects of a table of the Data Catalog, whose partition keys are `keys`.

    Raises:
        QueryFailed: An object cannot be read.
    """
    types = {c["Name"]: _duckdb_type(c["Type"]) for c in table["StorageDescriptor"]["Columns"]}
    key_types = {k["Name"]: _duckdb_type(k["Type"]) for k in table.get("PartitionKeys", [])}
    if not objects:
        empty = ", ".join(
            f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in (types | key_types | {PATH: "VARCHAR"}).items()
        )
        engine.execute(f"CREATE VIEW {view} AS SELECT {empty} WHERE FALSE")
        return
    copies.fetch(objects)
    try:
        text = text_table(table)
        rows = _text_rows(text, objects, copies) if text else None
    except Unreadable as error:
        raise QueryFailed(str(error)) from error
    engine.execute(f"CREATE TABLE {view}_files (local VARCHAR, url VARCHAR, key_values VARCHAR[])")
    engine.executemany(
        f"INSERT INTO {view}_files VALUES ($1, $2, $3)",
        [(str(copies.local(o)), o.url, list(o.values)) for o in objects],
    )
    of_keys = [f'CAST(files.key_values[{i}] AS {key_types[key]}) AS "{key}"' for i, key in enumerate(keys, 1)]
    if text and rows is not None:
        engine.register(f"{view}_rows", rows)
        columns = [f'{cast.replace("{0}", _of_row(name))} AS "{name}"' for name, cast in text.casts.items()]
        engine.execute(
            f'CREATE VIEW {view} AS SELECT {", ".join(columns + of_keys)}, files.url AS "{PATH}" '
            f"FROM {view}_rows AS read JOIN {view}_files AS files ON read._file = files.local"
        )
        return
    library = table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"]
    reader, found = _reader(engine, library, types, [str(copies.local(o)) for o in objects])
    columns = [
        f'CAST({_of_row(name)} AS {kind}) AS "{name}"' if name in found else f'CAST(NULL AS {kind}) AS "{name}"'
        for name, kind in types.items()
    ]
    engine.execute(
        f'CREATE VIEW {view} AS SELECT {", ".join(columns + of_keys)}, COALESCE(files.url, error(read.filename)) AS "{PATH}" '
        f"FROM {reader} AS read LEFT JOIN {view}_files AS files ON read.filename = files.local"
    )


def _reader(
    engine: duckdb.DuckDBPyConnection, library: str, types: dict[str, str], files: list[str]
) -> tuple[str, set[str]]:
    """Returns the call that reads the files of a table of Parquet or JSON, and the columns that they have."""
    if "parquet" in library.lower():
        reader = "read_parquet($files, filename = true, union_by_name = true, hive_partitioning = false)"
        found = {
            row[0].lower() for row in engine.execute(f"DESCRIBE SELECT * FROM {reader}", {"files": files}).fetchall()
        }
    elif "json" in library.lower():
        wanted = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
        reader = (
            "read_json($files, format = 'newline_delimited', filename = true, hive_partitioning = false, "
            f"columns = {{{wanted}}})"
        )
        found = set(types)
    else:
        raise QueryFailed(f"NOT_SUPPORTED: {library} is not supported by the local Athena stand-in")
    listed = "[" + ", ".join("'" + file.replace("'", "''") + "'" for file in files) + "]"
    return reader.replace("$files", listed), found


def _text_rows(text: TextTable, objects: list[Object], copies: Objects) -> pa.Table:
    """Returns the rows with one text column for each column, and the file of each row in `_file`."""
    names = [name for name, _ in text.columns]
    found: list[list[str | None]] = []
    for each in objects:
        local = copies.local(each)
        found += [[str(local), *row] for row in text.rows(local.read_bytes(), each.url)]
    columns = list(zip(*found, strict=True)) or [()] * (len(names) + 1)
    return pa.table([pa.array(column, pa.string()) for column in columns], names=["_file", *names])


def _of_row(name: str) -> str:
    return f'read."{name}"'
