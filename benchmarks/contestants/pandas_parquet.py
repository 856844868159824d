"""The usual pandas script: typed columns, the old table and the new rows in one frame, the last of a key kept."""

from __future__ import annotations

from pathlib import Path

import pandas

KEPT = "typed; a bad value ends the load; no reasons; repeats kept by line number; memory for old and new"


def prepare(folder: Path) -> None:
    pass


def read(data: Path) -> pandas.DataFrame:
    """Returns the file's rows with their types; raises ValueError where a value has not its type."""
    frame = pandas.read_csv(data, dtype=str)
    frame["Quantity"] = frame["Quantity"].astype("int32")
    frame["UnitPrice"] = frame["UnitPrice"].astype("float64")
    frame["InvoiceDate"] = pandas.to_datetime(frame["InvoiceDate"], format="%m/%d/%Y %H:%M")
    frame["line"] = range(1, len(frame) + 1)
    return frame


def load(data: Path, folder: Path) -> dict[str, int]:
    table, frame = folder / "table.parquet", read(data)
    if table.exists():
        frame = pandas.concat([pandas.read_parquet(table), frame]).drop_duplicates("line", keep="last")
    frame.to_parquet(folder / "new.parquet", index=False)
    (folder / "new.parquet").replace(table)
    return {"rows": len(frame)}
