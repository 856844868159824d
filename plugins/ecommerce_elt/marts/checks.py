"""The checks of a mart, which are declared in the `checks.yaml` beside its `build.sql`.

The file is a list of checks. Each check counts the rows of `staged` that break a rule, and shows one of them as its
detail. It has one of these keys, which is its kind:

    unique: [columns]             no two rows have the same values in these columns
    accepted: {column: [values]}  the column has one of these values
    never: condition              no row satisfies the SQL condition
    sum: expression               the sum of the rows of a period is that of core: `of` names the table of core and its
                                  alias, `equals` the expression that is added up there, and `day` the day of a row, if
                                  it is not that of `event_time`. Sums are compared `by` further columns. `where` is a
                                  condition on the rows of core.
    rows: FROM ... WHERE ...      no rows are selected by this SQL; `failed_rows` replaces COUNT(*)

Every check has a `name`, which is derived for `unique`, `accepted` and the `sum` of a column, and a `severity`: `fail`,
the default, stops the publication, and `warn` does not. Every check but a sum has a `detail`, which is derived for
`unique` and `accepted`: a column or a list of columns of the mart, whose smallest values are shown, or the SQL of the
text.

The checks of a mart become one statement, in the order of the file. The SQL may have `{table}` and `{period}` in it, as
the SQL of `build.sql` may. `python -m ecommerce_elt.marts.checks FOLDER` prints the statement of the mart in that
folder.
"""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from yaml import CSafeLoader

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import NAME

FILE = "checks.yaml"
INTO = "INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)\n"
Types = Mapping[str, str]  # the columns of the mart, each with the first word of its type
Text = Annotated[str, Field(min_length=1)]
Listed = Annotated[tuple[str, ...], Field(min_length=1)]


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) and NAME.match(value) else value


Detail = Annotated[tuple[str, ...] | str, BeforeValidator(_listed), Field(min_length=1)]


class Declared(BaseModel, ABC):
    """One check. Its kinds are the subclasses."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    columns_in: ClassVar[str] = "detail"  # the key that names columns of the mart

    name: Text | None = None
    severity: Literal["fail", "warn"] = "fail"
    detail: Detail | None = None

    @property
    def title(self) -> str:
        """The name under which the results are stored."""
        return self.name or ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the mart that the check is about."""
        value = getattr(self, self.columns_in)
        return () if isinstance(value, str) else tuple(value)

    @property
    def number(self) -> str:
        """The SQL of the number of failed rows."""
        return "COUNT(*)"

    @property
    @abstractmethod
    def source(self) -> str:
        """The SQL that selects the failed rows, from FROM on."""

    def shown(self, types: Types) -> str:
        """Returns the SQL of the detail."""
        if isinstance(self.detail, str):
            return self.detail
        columns = self.detail or self.columns
        return f"MIN({_spaced(c if types[c] == 'VARCHAR' else f'CAST({c} AS VARCHAR)' for c in columns)})"


class Unique(Declared):
    columns_in = "unique"
    unique: Listed

    @property
    def title(self) -> str:
        *first, last = self.unique
        return self.name or (f"{', '.join(first)} and {last} are unique" if first else f"{last} is unique")

    @property
    def source(self) -> str:
        keys = ", ".join(self.unique)
        repeated = f"SELECT {keys} FROM staged GROUP BY {keys} HAVING COUNT(*) > 1"  # noqa: S608  # known columns
        return f"FROM ({repeated}) AS repeated"


class Accepted(Declared):
    columns_in = "accepted"
    accepted: dict[str, Listed] = Field(min_length=1, max_length=1)

    @property
    def title(self) -> str:
        return self.name or f"{self.columns[0]} is an accepted value"

    @property
    def source(self) -> str:
        [(column, values)] = self.accepted.items()
        return f"FROM staged\nWHERE {column} NOT IN ({', '.join(map(_literal, values))})"


class Never(Declared):
    name: Text
    never: Text
    detail: Detail

    @property
    def source(self) -> str:
        return f"FROM staged\nWHERE {self.never.strip()}"


class Sum(Declared):
    columns_in = "by"
    detail: None = None
    sum: Text
    equals: Text
    of: str = Field(pattern=r"^core\.[a-z][a-z0-9_]* AS [a-z][a-z0-9_]*$")
    day: Text | None = None
    by: tuple[str, ...] = ()
    where: Text | None = None

    @model_validator(mode="after")
    def _has_a_name(self) -> Sum:
        if not self.name and not NAME.match(self.sum):
            raise ValueError("name: the sum of an expression has no name of its own")
        return self

    @property
    def title(self) -> str:
        return self.name or f"{self.sum} is the sum of core"

    @property
    def source(self) -> str:
        alias = self.of.rpartition(" ")[2]
        keys = ("period_start", *self.by)
        listed, of_core = ", ".join(keys), "".join(f", {alias}.{column}" for column in self.by)
        alike = " AND ".join(f"built.{key} = core.{key}" for key in keys)
        return f"""FROM (SELECT {listed}, SUM({self.sum}) AS total FROM staged GROUP BY {listed}) AS built
FULL JOIN (
    SELECT dates.{{period}}_start AS period_start{of_core}, SUM({self.equals}) AS total
    FROM {self.of}
    INNER JOIN core.dim_date AS dates ON {self.day or f"CAST({alias}.event_time AS DATE)"} = dates.date_day
    WHERE {alias}.event_time >= :from_day
        AND {alias}.event_time < :to_day
        AND dates.{{period}}_start IN (SELECT period_start FROM build_period){self._and_where}
    GROUP BY dates.{{period}}_start{of_core}
) AS core ON {alike}
WHERE COALESCE(built.total, 0) <> COALESCE(core.total, 0)"""  # noqa: S608  # SQL of this repository

    @property
    def _and_where(self) -> str:
        where = self.where and (f"({self.where})" if re.search(r"\bor\b", self.where, re.IGNORECASE) else self.where)
        return f"\n        AND {where}" if where else ""

    def shown(self, types: Types) -> str:
        keys = ["CAST(COALESCE(built.period_start, core.period_start) AS VARCHAR)"]
        keys += [f"COALESCE(built.{column}, core.{column})" for column in self.by]
        built, core = (f"CAST(COALESCE({side}.total, 0) AS VARCHAR)" for side in ("built", "core"))
        return f"MIN({_spaced(keys)} || ': ' || {built} || ' instead of ' || {core})"


class Rows(Declared):
    name: Text
    rows: str = Field(pattern=r"^FROM\s")
    failed_rows: Text | None = None
    detail: Detail

    @property
    def number(self) -> str:
        return self.failed_rows or super().number

    @property
    def source(self) -> str:
        return self.rows.strip()


KINDS: Mapping[str, type[Declared]] = {
    "unique": Unique,
    "accepted": Accepted,
    "never": Never,
    "sum": Sum,
    "rows": Rows,
}


def statement(folder: Path) -> str:
    """Returns the statement that runs the checks of a mart and stores their results, with names to be filled in.

    Args:
        folder: the folder of the mart, with `checks.yaml` and `create.sql`.

    Raises:
        PermanentError: as in `declared`.
    """
    types = _types(folder)
    return INTO + "\nUNION ALL\n".join(_select(check, types) for check in declared(folder)) + "\n"


def declared(folder: Path) -> list[Declared]:
    """Returns the checks that the `checks.yaml` in the folder of a mart declares.

    Raises:
        PermanentError: a declaration is wrong; the message names the file, the check and the key.
    """
    path, types = folder / FILE, _types(folder)
    try:
        entries = yaml.load(path.read_text("utf-8"), CSafeLoader)
    except yaml.YAMLError as error:
        raise PermanentError(f"{path}: not YAML: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise PermanentError(f"{path}: not a list of checks")
    found: dict[str, Declared] = {}
    for number, entry in enumerate(entries, 1):
        name = entry.get("name") if isinstance(entry, dict) else None
        where = f"{path}: check {number}" + (f" ({name})" if name else "")
        check = _check(entry, where)
        named = {check.columns_in: check.columns, "detail": check.detail if isinstance(check.detail, tuple) else ()}
        for key, columns in named.items():
            if unknown := [column for column in columns if column not in types]:
                raise PermanentError(
                    f"{where}: {key}: create.sql has no {', '.join(unknown)}; it has {', '.join(types)}"
                )
        if check.title in found:
            raise PermanentError(f"{where}: name: another check is already called {check.title!r}")
        found[check.title] = check
    return list(found.values())


def _check(entry: Any, where: str) -> Declared:
    kinds = [kind for kind in KINDS if isinstance(entry, dict) and kind in entry]
    if len(kinds) != 1:
        raise PermanentError(f"{where}: needs one of {', '.join(KINDS)}; it has {' and '.join(kinds) or 'none'}")
    try:
        return KINDS[kinds[0]].model_validate(entry)
    except ValidationError as error:
        wrong = "; ".join(": ".join(map(str, (*e["loc"], e["msg"]))) for e in error.errors())
        raise PermanentError(f"{where}: {wrong}") from error


def _types(folder: Path) -> Types:
    create = (folder / "create.sql").read_text("utf-8")
    return dict(re.findall(r"^    ([a-z][a-z0-9_]*) ([A-Z]+)", create, re.MULTILINE))


def _select(check: Declared, types: Types) -> str:
    return f"""SELECT
    :build_id,
    '{{table}}',
    {_literal(check.title)},
    {_literal(check.severity)},
    {check.number},
    {check.shown(types)},
    GETDATE()
{check.source}"""


def _spaced(texts: Iterable[str]) -> str:
    return " || ' ' || ".join(texts)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


if __name__ == "__main__":
    sys.stdout.write(statement(Path(sys.argv[1])))
