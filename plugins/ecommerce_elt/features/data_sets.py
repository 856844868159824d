"""Data sets for machine learning: their columns, cut-off days and rows. See docs/adr/0046."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from more_itertools import pairwise

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, render, role_of

DATA_SETS = ("customer", "product_week")
PARTS = ("train", "validation", "test")
HORIZONS_DAYS = (30, 90)  # horizons of the labels in include/sql/features/customer/create.sql
DEFAULT_HORIZON_DAYS = 90
HISTORY_DAYS = 56  # shortest history before the first cut-off, if it is chosen here
WEEKS_READ_DAYS = 12 * 7  # history of the features of product_week
WEEKS_AHEAD_DAYS = 4 * 7  # horizon of its labels
TRAIN_EVERY_DAYS = 28
TRAIN_CUT_OFFS = 6  # at most, if they are chosen here; more would mostly repeat the same customers
_COLUMN = re.compile(r"^-- (key|feature|label) (\w+): (.+)$", re.MULTILINE)
_TYPE = re.compile(r"^    (\w+) ([A-Z]+(?:\([\d, ]+\))?)", re.MULTILINE)


class TooShortError(PermanentError):
    """The data is too short for a train, a validation and a test part."""


class EmptyPartError(PermanentError):
    """A part of a data set has no rows."""


@dataclass(frozen=True)
class Span:
    """The days of the data.

    Attributes:
        first: the first day.
        end: the day after the last whole day.
        read_at: the time of the warehouse's clock before the data was read.
    """

    first: date
    end: date
    read_at: datetime


@dataclass(frozen=True)
class CutOffs:
    """The days on which features end and labels begin: those of `train`, one of validation and one of test."""

    train: tuple[date, ...]
    validation: date
    test: date
    horizon_days: int

    def parts(self) -> list[tuple[date, str]]:
        """Returns each cut-off with its part, in ascending order."""
        return [*((day, "train") for day in self.train), (self.validation, "validation"), (self.test, "test")]

    @property
    def labels_end(self) -> date:
        """The day on which the last label is complete."""
        return self.test + timedelta(days=self.horizon_days)

    def as_text(self) -> dict[str, Any]:
        days = [day.isoformat() for day, _ in self.parts()]
        return {"cut_offs": days, "horizon_days": self.horizon_days}


@dataclass(frozen=True)
class Column:
    """One column of a data set, as in its create.sql. `role` is key, feature or label."""

    name: str
    type: str
    role: str
    description: str

    @property
    def is_numeric(self) -> bool:
        return self.type.startswith(("DECIMAL", "INTEGER", "BIGINT"))


def columns(data_set: str, sql_dir: Path) -> list[Column]:
    """Returns the columns of a data set in order.

    Raises:
        PermanentError: a column has no description, or a description has no column.
    """
    text = (sql_dir / "features" / data_set / "create.sql").read_text("utf-8")
    said = {name: (role, words) for role, name, words in _COLUMN.findall(text)}
    types = dict(_TYPE.findall(text))
    if said.keys() != types.keys():
        raise PermanentError(
            f"features/{data_set}/create.sql: {sorted(said.keys() ^ types.keys())} are not both a column and described"
        )
    return [Column(name, kind, *said[name]) for name, kind in types.items()]


# -- cut-offs ---------------------------------------------------------------------------------------------------------


def read_span(target: Warehouse, sql_dir: Path) -> Span:
    """Returns the days of the data.

    Raises:
        TooShortError: no feed with the role of a sale has events.
    """
    [(first, last, now)] = target.query((sql_dir / "features/span/select.sql").read_text("utf-8"))
    if first is None:
        raise TooShortError("core.sales_line has no lines")
    read_at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    # Today is not a whole day yet.
    end = min(date.fromisoformat(last[:10]) + timedelta(days=1), read_at.date())
    return Span(date.fromisoformat(first[:10]), end, read_at)


def choose_cut_offs(span: Span, horizon_days: int = DEFAULT_HORIZON_DAYS) -> CutOffs:
    """Returns the latest cut-offs whose labels are complete. All are Mondays, so they change once a week.

    The labels of a part are complete before the cut-off of the next part, so training uses only data known at that
    time.

    Raises:
        TooShortError: the data is too short for three cut-offs at this distance, with enough history before the first.
    """
    apart = timedelta(weeks=-(-horizon_days // 7))
    test = span.end - timedelta(days=horizon_days)
    test -= timedelta(days=test.weekday())
    validation = test - apart
    last = validation - apart
    # The first week of product_week may begin up to six days after the first day, and its labels must end before
    # validation.
    history = timedelta(days=max(HISTORY_DAYS, WEEKS_READ_DAYS + 6 + WEEKS_AHEAD_DAYS - apart.days))
    earliest = span.first + history
    if last < earliest:
        needed = history + (test - last) + timedelta(days=horizon_days)
        raise TooShortError(
            f"the data have {(span.end - span.first).days} whole days, {span.first} to before {span.end}; train, validation and test "
            f"with labels of {horizon_days} days need at least {needed.days}. Give cut_offs, or a horizon_days of {HORIZONS_DAYS[0]}"
        )
    some = (last - timedelta(days=TRAIN_EVERY_DAYS * n) for n in range(TRAIN_CUT_OFFS))
    return CutOffs(tuple(sorted(day for day in some if day >= earliest)), validation, test, horizon_days)


def given_cut_offs(span: Span, days: Sequence[str], horizon_days: int) -> CutOffs:
    """Returns the given cut-offs: the last one for test, the one before for validation, the others for train.

    Raises:
        PermanentError: a day does not fit. The message names the day and the expected days.
    """
    found = [date.fromisoformat(day) for day in days]
    if len(found) < len(PARTS) or found != sorted(set(found)):
        raise PermanentError(
            f"cut_offs {', '.join(days)}: expected at least {len(PARTS)} days, each later than the one before"
        )
    if other := [day for day in found if day.weekday()]:
        monday = other[0] - timedelta(days=other[0].weekday())
        raise PermanentError(f"cut_off {other[0]}: expected a Monday, as weeks begin then; the one before is {monday}")
    horizon = timedelta(days=horizon_days)
    chosen = CutOffs(tuple(found[:-2]), found[-2], found[-1], horizon_days)
    for earlier, later in pairwise([chosen.train[-1], chosen.validation, chosen.test]):
        if later - earlier < horizon:
            raise PermanentError(
                f"cut_offs {earlier} and {later}: expected at least {horizon_days} days between the last of train, that of validation and "
                "that of test; else the labels of one part reach into the next"
            )
    if found[0] <= span.first:
        raise PermanentError(f"cut_off {found[0]}: expected a day after {span.first}, where the data begin")
    if chosen.labels_end > span.end:
        raise PermanentError(
            f"cut_off {chosen.test}: its labels of {horizon_days} days are complete on {chosen.labels_end}, and the data end before "
            f"{span.end}; expected a Monday up to {span.end - horizon}"
        )
    return chosen


# -- rows -----------------------------------------------------------------------------------------------------------


def unload(target: Warehouse, cut_offs: CutOffs, prefix: str, settings: Settings) -> None:
    """Computes the rows of all data sets from one snapshot of core, and lets Redshift write them as Parquet.

    Args:
        target: the warehouse.
        cut_offs: the cut-offs.
        prefix: a folder of the lake for this export only, such as `features/data/.../`.
        settings: the settings.
    """
    sql = settings.sql_dir / "features"

    def text(name: str) -> str:
        return (sql / name).read_text("utf-8")

    names = {"features_prefix": f"s3://{settings.bucket}/{prefix}", "copy_role": role_of(settings)}
    with target.session() as session:
        session.run(
            [text("lines/create.sql"), *(text(f"{name}/create.sql") for name in DATA_SETS)], name="read feature lines"
        )
        for day, part in cut_offs.parts():
            values = {"cut_off": day.isoformat(), "part": part, "horizon_days": str(cut_offs.horizon_days)}
            session.run([text("customer/build.sql")], values, name=f"customer features {day}")
        values = {
            "validation": cut_offs.validation.isoformat(),
            "test": cut_offs.test.isoformat(),
            "labels_end": cut_offs.labels_end.isoformat(),
        }
        session.run([text("product_week/build.sql")], values, name="product week features")
        for name in DATA_SETS:
            session.run([render(text(f"{name}/unload.sql"), names)], name=f"unload {name} features")
