"""Exports to BigQuery, on the side of the warehouse: marks, unloaded files, closed exports. See docs/adr/0043.

A table of BigQuery is registered in `ops.mart` as `bigquery.<table>`, with its mart as the source. Each publication of
the mart then marks its days for the export in the same transaction. An export reads the marks in the transaction that
unloads the rows.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.marts import builds
from ecommerce_elt.marts.builds import MARTS, Mart, Steps
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Column, Warehouse, chosen, render, role_of, texts

UNLOADED = "bigquery/"  # in the lake; lifecycle rules of the bucket delete leftover files
MARK = "bigquery."
# The largest number of days between the starts of two consecutive periods.
DAYS_OF_PERIOD = {"day": 1, "week": 7, "month": 31, "quarter": 92, "season": 92}
TYPES = {
    "int2": "INT64",
    "int4": "INT64",
    "int8": "INT64",
    "bool": "BOOL",
    "varchar": "STRING",
    "bpchar": "STRING",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
NUMBERS = {"INT64", "NUMERIC", "BIGNUMERIC"}
FACTS = "facts"
TIME = "event_time"  # the time of a fact; a row belongs to its day
UNKNOWN_KEYS = "extra"  # unreviewed data of the senders


def new_export_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Field:
    """One column of a table, with its type in BigQuery."""

    name: str
    type: str


def field_of(column: Column) -> Field:
    """Returns the column in BigQuery for a column of Redshift.

    Raises:
        PermanentError: BigQuery has no type for the column.
    """
    if column.type_name == "numeric":
        # NUMERIC has 29 digits before the decimal point and 9 after it: BigQuery, Data types.
        is_small = column.scale <= 9 and column.precision - column.scale <= 29
        return Field(column.name, "NUMERIC" if is_small else "BIGNUMERIC")
    if column.type_name not in TYPES:
        raise PermanentError(
            f"column {column.name} is of type {column.type_name}; BigQuery gets one of {sorted(TYPES)} or numeric"
        )
    return Field(column.name, TYPES[column.type_name])


def exported(settings: Settings, contracts: Mapping[str, Contract]) -> tuple[Mart, ...]:
    """Returns the exported tables: marts and dimensions, and each feed's fact if a setting says so."""
    facts = (Mart(contract.tables[0], FACTS, (feed,), "day") for feed, contract in contracts.items())
    return (*MARTS, *(facts if settings.bigquery_facts else ()))


def fields(target: Warehouse, mart: Mart, contracts: Mapping[str, Contract]) -> list[Field]:
    """Returns the columns to export, as the warehouse has them now; for a fact, without those of `kept_back`."""
    columns, _ = target.table(f"SELECT * FROM {mart.table} WHERE 1 = 0")  # noqa: S608  # of `exported`
    left_out = kept_back(contracts[mart.sources[0]]) if mart.subject == FACTS else set()
    return [field_of(column) for column in columns if column.name not in left_out]


def kept_back(contract: Contract) -> set[str]:
    """Returns the columns of a feed's fact that are not exported.

    These are personal columns, however the contract changes their values, and unknown keys. The column by which an
    erasure finds the customer is exported, as in marts.
    """
    personal = {column.name for column in contract.columns if column.privacy != "keep"}
    return {*personal, UNKNOWN_KEYS} - ({contract.erasure.customer} if contract.erasure else set())


def ddl(mart: Mart, sql_dir: Path) -> str:
    """Returns the CREATE statement of the warehouse's table, from a file or generated from the feed's contract."""
    return feed_sql.read(sql_dir, f"{mart.table.replace('.', '/')}/create.sql")


@dataclass(frozen=True)
class Unloaded:
    """The part of an export for one table.

    Args:
        table: the table of the warehouse.
        fields: its columns.
        ranges: the first and last start of each range of consecutive periods that are replaced; None if all rows are
            replaced.
        files: the keys of its files in the lake.
        is_fact: whether rows belong to the day of their time and not to a period.
    """

    table: str
    fields: tuple[Field, ...]
    ranges: tuple[tuple[str, str], ...] | None
    files: tuple[str, ...]
    is_fact: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, text: Mapping[str, Any]) -> Unloaded:
        ranges = text["ranges"]
        return cls(
            text["table"],
            tuple(Field(**field) for field in text["fields"]),
            None if ranges is None else tuple((first, last) for first, last in ranges),
            tuple(text["files"]),
            text["is_fact"],
        )

    @property
    def replaced(self) -> str:
        """The condition of the replaced rows; its dates are literals, so that BigQuery reads only their partitions."""
        if self.ranges is None:
            return "TRUE"
        if not self.is_fact:
            return " OR ".join(f"period_start BETWEEN DATE '{first}' AND DATE '{last}'" for first, last in self.ranges)
        return " OR ".join(
            f"({TIME} >= TIMESTAMP '{first}' AND {TIME} < TIMESTAMP '{date.fromisoformat(last) + timedelta(days=1)}')"
            for first, last in self.ranges
        )


def ranges_of(periods: Iterable[str], period: str) -> tuple[tuple[str, str], ...]:
    """Returns first and last start of each range of consecutive periods; `periods` are the starts, in order."""
    found: list[tuple[str, str]] = []
    step = timedelta(days=DAYS_OF_PERIOD[period])
    for start in periods:
        if found and date.fromisoformat(start) - date.fromisoformat(found[-1][1]) <= step:
            found[-1] = (found[-1][0], start)
        else:
            found.append((start, start))
    return tuple(found)


def totals(columns: Iterable[Field], text_type: str) -> str:
    """Returns the SQL of the compared totals: number of rows, sums of numbers, and numbers of other values."""
    parts = [f"'rows=' || CAST(COUNT(*) AS {text_type})"]
    for column in columns:
        function = "SUM" if column.type in NUMBERS else "COUNT"
        parts.append(f"' {column.name}=' || COALESCE(CAST({function}({column.name}) AS {text_type}), 'null')")
    return " || ".join(parts)


def columns_of(text: str) -> list[str]:
    """Returns the columns in a text of totals."""
    return [word.split("=", 1)[0] for word in text.split()][1:]


def difference(expected: str, found: str) -> str:
    """Returns the differences between two totals as text, empty if there are none. 1.50 and 1.5 are equal."""
    ours, theirs = (dict(word.split("=", 1) for word in text.split()) for text in (expected, found))
    differing = []
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(name, "no column"), theirs.get(name, "no column")
        if one != other and not (_is_number(one) and _is_number(other) and Decimal(one) == Decimal(other)):
            differing.append(f"{name} is {one} in Redshift and {other} in BigQuery")
    return ", ".join(differing)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def _is_fact(mart: Mart) -> bool:
    return mart.subject == FACTS


def _is_mart(mart: Mart) -> bool:
    return mart.subject != FACTS


def _has_periods(mart: Mart) -> bool:
    return _is_mart(mart) and mart.has_periods()


# The transactions of an export: their statements in order, each with the condition on the table for including it.
MARK_ALL_DAYS = "ops/register_mart/mark_all_days.sql"  # once for each feed behind the table
REGISTER: Steps = (
    # Loads and publications hold this lock to their end, so none can be running that does not see the export.
    ("ops/register_mart/lock_staging.sql", _is_fact),
    ("ops/publish/lock.sql", _is_mart),
    ("ops/register_mart/register.sql", Mart.always),
    (MARK_ALL_DAYS, Mart.always),
    ("ops/register_mart/mark_all_periods.sql", _has_periods),
)
UNLOAD: Steps = (
    ("ops/export_table/forget_days.sql", Mart.always),
    ("ops/export_table/take_days.sql", Mart.always),
    ("ops/export_table/unload_day.sql", _is_fact),
    ("ops/export_table/unload_period.sql", _has_periods),
    ("ops/export_table/unload_whole.sql", lambda mart: _is_mart(mart) and not mart.has_periods()),
    ("ops/export_table/count.sql", _is_mart),
    ("ops/export_table/count_day.sql", _is_fact),
)
CLOSE = (
    "ops/close_export/lock.sql",
    "ops/close_export/unmark.sql",
    "ops/close_export/forget_days.sql",
    "ops/close_export/forget_table.sql",
    "ops/close_export/keep_table.sql",
    "ops/close_export/forget_totals.sql",
)
FORGET = (
    "ops/forget_export/unregister.sql",
    "ops/forget_export/unmark.sql",
    "ops/forget_export/forget_table.sql",
)


def register(
    target: Warehouse, settings: Settings, contracts: Mapping[str, Contract], again: Iterable[str] = ()
) -> None:
    """Registers exports, so that publications and loads mark their days; marks all days of new tables and `again`."""
    sql_dir = settings.sql_dir
    known = {tuple(row) for row in target.query((sql_dir / "ops/mart/sources.sql").read_text("utf-8"))}
    for mart in exported(settings, contracts):
        export, is_fact = MARK + mart.table, mart.subject == FACTS
        source = mart.sources[0] if is_fact else mart.table
        if (export, source) in known and mart.table not in set(again):
            continue
        feeds = [source] if is_fact else builds.feeds_under(mart.table, contracts)
        names = mart.names | ({"staging": contracts[source].staging} if is_fact else {})
        statements = []
        for path in chosen(REGISTER, mart):
            each = [{"fact": contracts[feed].tables[0]} for feed in feeds] if path == MARK_ALL_DAYS else [{}]
            statements += [text for more in each for text in texts(sql_dir, [path], names | more)]
        target.run(statements, {"mart": export, "source": source}, name=f"register {export}")


def no_longer(target: Warehouse, settings: Settings, contracts: Mapping[str, Contract]) -> list[str]:
    """Returns the tables that were exported before and are not exported now."""
    rows = target.query((settings.sql_dir / "ops/mart/sources.sql").read_text("utf-8"))
    known = {mart.removeprefix(MARK) for mart, _ in rows if mart.startswith(MARK)}
    return sorted(known - {mart.table for mart in exported(settings, contracts)})


def forget(target: Warehouse, table: str, sql_dir: Path) -> None:
    """Removes the registration and the marks of a table that is no longer exported, in one transaction. Idempotent."""
    values = {"export": MARK + table, "table": table}
    target.run(texts(sql_dir, FORGET, {}), values, name=f"forget {MARK}{table}")


def stale(target: Warehouse, sql_dir: Path) -> dict[str, int]:
    """Returns the number of days that are out of date in BigQuery, by table."""
    rows = target.query((sql_dir / "ops/stale_date/by_export.sql").read_text("utf-8"))
    return {export.removeprefix(MARK): int(days) for export, days in rows}


def seconds_since_export(target: Warehouse, sql_dir: Path) -> int | None:
    """Returns the seconds since a table was last exported, by the warehouse's clock; None if none ever was."""
    [[seconds]] = target.query((sql_dir / "ops/exported_table/age.sql").read_text("utf-8"))
    return None if seconds is None else int(seconds)


def unload(
    target: Warehouse, mart: Mart, export_id: str, settings: Settings, contracts: Mapping[str, Contract]
) -> tuple[Field, ...]:
    """Unloads the rows of a table's marked periods and counts the table, in one transaction; returns its columns.

    The transaction also takes the marks of the table into the export. For a fact, only the rows of its marked days are
    counted, so that the cost of an export depends on its size.

    Raises:
        PermanentError, TransientError: as in `Warehouse.run`.
    """
    columns = tuple(fields(target, mart, contracts))
    names = {
        **mart.names,
        "columns": ", ".join(column.name for column in columns),
        "unload_prefix": f"s3://{settings.bucket}/{folder_of(export_id, mart.table)}",
        "copy_role": role_of(settings),
        "warehouse_totals": totals(columns, "VARCHAR"),
    }
    values = {"export": MARK + mart.table, "export_id": export_id, "is_whole": str(not mart.period).lower()}
    target.run(texts(settings.sql_dir, chosen(UNLOAD, mart), names), values, name=f"unload {mart.table}")
    return columns


def periods(target: Warehouse, mart: Mart, export_id: str, sql_dir: Path) -> tuple[tuple[str, str], ...] | None:
    """Returns the ranges of periods of the table in the export, or None if the export has all rows."""
    if not mart.period:
        return None
    sql = render((sql_dir / "ops/export_day/periods.sql").read_text("utf-8"), mart.names)
    rows = target.query(sql, {"export_id": export_id, "export": MARK + mart.table})
    return None if any(is_whole for _, is_whole in rows) else ranges_of((start for start, _ in rows), mart.period)


def folder_of(export_id: str, table: str) -> str:
    """Returns the folder in the lake with the files of a table in an export."""
    return f"{UNLOADED}{export_id}/{table}/"


def close(target: Warehouse, export_id: str, sql_dir: Path) -> None:
    """Removes the marks that the export processed, and stores its totals as those of BigQuery. Idempotent."""
    target.run(texts(sql_dir, CLOSE, {}), {"export_id": export_id}, name=f"close {export_id}")
