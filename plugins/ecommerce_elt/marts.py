"""Marts: which there are, what each is made of, and how one is built, checked and published.

A mart is a table with three files in `include/sql/<schema>/<table>/`: `create.sql`, `build.sql`, which computes rows of the
periods (or keys) that changed into the temporary table `staged`, and `checks.sql`, which looks at them there. Only rows that
pass replace the mart's, in one transaction. What changed is in `ops.stale_date`: a load marks its days for every mart of the
feed, a publication for every mart that is made of it, and a publication takes away the marks that it has worked off.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import Contract
from ecommerce_elt.warehouse import Session, Warehouse, render

log = logging.getLogger(__name__)

Period = Literal["day", "week", "month", "quarter", "season"]
RETAIL, PURCHASES, STOCK = "online_retail", "purchases", "product_events"


@dataclass(frozen=True)
class Mart:
    """One table that `build_marts` keeps.

    Args:
        table: schema.table.
        subject: what it is about; the marts of a subject are built in one task, in their order here.
        sources: feeds, or marts that come before it.
        period: the mart's rows belong to periods, and whole periods are replaced.
        key: the column whose values are replaced, where there is no period. With neither, all rows are replaced.
        like: the table whose build.sql and checks.sql it uses, with its own period.
    """

    table: str
    subject: str
    sources: tuple[str, ...]
    period: Period | None = None
    key: str | None = None
    like: str | None = None

    def sql(self, sql_dir: Path, name: str) -> str:
        """Returns the text of one of the mart's files, with its names filled in."""
        path = sql_dir / (self.like or self.table).replace(".", "/") / f"{name}.sql"
        return render(path.read_text("utf-8"), self.names)

    @property
    def names(self) -> dict[str, str]:
        return {"table": self.table, "period": self.period or "day", "key": self.key or "period_start"}


def _like(base: str, subject: str, source: str, **periods: Period) -> tuple[Mart, ...]:
    """The same mart for several periods: base_daily, base_weekly, ..."""
    return tuple(
        Mart(f"mart.{base}_{name}", subject, (source,), period, like=f"mart.{base}_daily")
        for name, period in periods.items()
    )


DIMENSIONS = "dimensions"
MARTS: tuple[Mart, ...] = (
    Mart("core.dim_date", DIMENSIONS, (RETAIL, PURCHASES, STOCK), key="date_day"),
    Mart("mart.product_days", DIMENSIONS, (RETAIL, STOCK), "day"),
    Mart("core.dim_product", DIMENSIONS, ("mart.product_days",), key="product_id"),
    Mart("core.dim_country", DIMENSIONS, (RETAIL,), key="country"),
    *_like("sales", "sales", RETAIL, daily="day", weekly="week", monthly="month", quarterly="quarter"),
    Mart("mart.sales_by_country", "sales", (RETAIL,), "day"),
    Mart("mart.product_sales_daily", "products", (RETAIL,), "day"),
    *_like("best_sellers", "products", "mart.product_sales_daily",
           daily="day", monthly="month", quarterly="quarter", seasonal="season"),
    Mart("mart.basket_pairs_monthly", "products", (RETAIL,), "month"),
    Mart("mart.customer_days", "customers", (RETAIL,), "day"),
    Mart("mart.customer_behaviour", "customers", ("mart.customer_days",)),
    Mart("mart.customer_cohorts", "customers", ("mart.customer_days",)),
    Mart("mart.customer_types_monthly", "customers", ("mart.customer_days",)),
    Mart("mart.demographics_daily", "demographics", (PURCHASES,), "day"),
    Mart("mart.consumption_monthly", "demographics", (PURCHASES,), "month"),
    Mart("mart.product_movements_daily", "inventory", (STOCK,), "day"),
    Mart("mart.inventory_level", "inventory", ("mart.product_movements_daily",)),
)  # fmt: skip
# Views on facts and marts, in the order in which they are created.
VIEWS = ("core.sales_line", "mart.quarterly_revenue", "mart.best_sellers", "mart.customer_segments",
         "mart.purchase_frequency", "mart.consumption_patterns")  # fmt: skip
TABLES = ("core.country_name", "ops.mart", "ops.stale_date", "ops.mart_build", "ops.check_results")


@dataclass(frozen=True)
class Check:
    """The result of one check: a `fail` with rows stops the publication, a `warn` with rows alerts."""

    name: str
    severity: str
    failed_rows: int
    detail: str | None

    def __str__(self) -> str:
        return f"{self.name}: {self.failed_rows} ({self.detail})"


@dataclass(frozen=True)
class Built:
    """What one build of a mart did. `days` is how many days had changed; 0 is a mart that was up to date."""

    mart: str
    build_id: str
    days: int
    checks: tuple[Check, ...] = field(default=())

    @property
    def warnings(self) -> tuple[Check, ...]:
        return tuple(c for c in self.checks if c.failed_rows)


class ChecksFailed(PermanentError):  # noqa: N818  # a state of the data
    """A mart was not published, because checks of severity `fail` found rows; the mart is as it was before.

    Args:
        days: those that the build was to take in, in words.
        published_at: of what the mart shows meanwhile, UTC; None where it never was published.
    """

    def __init__(self, mart: str, failed: Iterable[Check], days: str, published_at: str | None) -> None:
        self.mart, self.failed, self.days, self.published_at = mart, tuple(failed), days, published_at
        super().__init__(f"{mart} keeps its rows of before: " + "; ".join(map(str, self.failed)))

    def explained(self, runbook: str) -> str:
        """Returns what was found, what is shown meanwhile, and what to do, for people."""
        lines = [f"Mart: {self.mart}"]
        for check in self.failed:
            more = f", and {check.failed_rows - 1} more" if check.failed_rows > 1 else ""
            lines += [f"Check: {check.name}", f"Found: {check.detail}{more}"]
        shows = f"its content of {self.published_at} UTC" if self.published_at else "nothing, it was never published"
        return "\n".join([
            *lines, f"Days that wait: {self.days}",
            f"Meanwhile the page, dashboards and exports show {shows}. What is made of it waits, too; other subjects go on.",
            f"What to do: {runbook}", "Then run: airflow dags trigger build_marts. It takes in all days that wait.",
        ])  # fmt: skip


def tables() -> list[str]:
    """Returns the marts and what keeps their state, in the order in which they can be created."""
    return [*TABLES, *(mart.table for mart in MARTS)]


def seed_statements(sql_dir: Path) -> list[str]:
    """Returns the transaction that fills the tables of constants."""
    return [(sql_dir / "core/country_name" / f"{name}.sql").read_text("utf-8") for name in ("empty", "seed")]


def register(target: Warehouse, sql_dir: Path, contracts: Mapping[str, Contract], *, rebuild: bool = False) -> None:
    """Makes loads mark their days for every mart, and marks all days of core for marts that are new.

    Args:
        rebuild: marks all days for every mart, and all periods that it has rows of, so that a period without events goes.
    """
    known = {tuple(row) for row in target.query((sql_dir / "ops/mart/sources.sql").read_text("utf-8"))}
    by_table = {mart.table: mart for mart in MARTS}
    for mart in MARTS:
        for source in mart.sources:
            if (mart.table, source) in known and not rebuild:
                continue
            contract = contracts[_feed(by_table, source)]
            names = {**mart.names, "staging": contract.staging, "fact": contract.tables[0]}
            steps = sorted((sql_dir / "ops/register_mart").glob("*.sql"))
            if mart.period:
                steps.append(sql_dir / "ops/register_mart/by_period/05_mark_all_periods.sql")
            parameters = {"mart": mart.table, "source": source}
            target.run(
                [render(step.read_text("utf-8"), names) for step in steps], parameters, name=f"register {mart.table}"
            )


def _feed(by_table: Mapping[str, Mart], source: str) -> str:
    """The feed that a source is, or that the mart which is the source is made of."""
    while source in by_table:
        source = by_table[source].sources[0]
    return source


def tables_under(built: Iterable[str], contracts: Mapping[str, Contract]) -> list[str]:
    """Returns the tables of core and the marts that the marts `built` are made of."""
    sources = {source for mart in MARTS if mart.table in set(built) for source in mart.sources}
    return sorted(contracts[source].tables[0] if source in contracts else source for source in sources)


def stale(target: Warehouse, sql_dir: Path) -> dict[str, int]:
    """Returns mart to days that changed since it was published."""
    return {mart: int(days) for mart, days in target.query((sql_dir / "ops/stale_date/by_mart.sql").read_text("utf-8"))}


def seconds_since_publication(target: Warehouse, sql_dir: Path) -> int | None:
    """Returns how long ago a mart was last published, by the warehouse's clock; None where none was."""
    [[seconds]] = target.query((sql_dir / "ops/mart_build/age.sql").read_text("utf-8"))
    return None if seconds is None else int(seconds)


def build(session: Session, mart: Mart, sql_dir: Path) -> Built:
    """Computes what changed of one mart, checks it, and publishes it in one transaction.

    Args:
        session: holds the temporary tables; no other build sees them.

    Raises:
        ChecksFailed: nothing is published.
        PermanentError, TransientError: as `Warehouse.run`; a build that was claimed by a later one is a PermanentError.
    """
    build_id = str(uuid.uuid4())
    ids = {"mart": mart.table, "build_id": build_id}

    def text(path: Path | str) -> str:
        return render((sql_dir / path).read_text("utf-8"), mart.names)

    def run(statements: list[str], what: str, values: Mapping[str, str] = {}) -> None:  # read only
        session.run(statements, {**ids, **values}, name=f"{what} {mart.table}")

    # The claim is a transaction of its own: what others publish while this reads and computes is then no conflict.
    for what in ("claim", "stage"):
        run([text(step) for step in sorted((sql_dir / "ops" / what).glob("*.sql"))], what)
    [[days, first, end]] = session.query(text(f"ops/build_bounds/{'period' if mart.period else 'days'}.sql"))
    if not days:
        return Built(mart.table, build_id, 0)
    bounds = {"from_day": first, "to_day": end}
    replaced = "key" if mart.key else "period" if mart.period else "whole"
    checks = [mart.sql(sql_dir, "checks")]
    if not mart.key:
        checks.append(text(f"ops/build_checks/{replaced}.sql"))
    run([mart.sql(sql_dir, "build"), *checks], "build", bounds)
    results = tuple(Check(*row) for row in session.query(text("ops/check_results/by_build.sql"), ids))
    if failed := [c for c in results if c.severity == "fail" and c.failed_rows]:
        named = [day for (day,) in session.query(text("ops/build_bounds/named.sql"))]
        waiting = ", ".join(named) + (f" and {int(days) - len(named)} more" if int(days) > len(named) else "")
        [[published_at]] = session.query(text("ops/mart_build/last.sql"), ids)
        raise ChecksFailed(mart.table, failed, waiting, published_at and published_at[:19])
    steps = sorted(p for p in (sql_dir / "ops/publish").glob("*.sql") if not p.name.startswith("03_delete"))
    steps.insert(2, sql_dir / f"ops/publish/03_delete_{replaced}.sql")
    run([text(step) for step in steps], "publish")
    return Built(mart.table, build_id, int(days), results)


def build_subject(target: Warehouse, subject: str, sql_dir: Path) -> list[Built]:
    """Builds the marts of one subject that are behind core, in their order, and returns what changed.

    Raises:
        ChecksFailed, PermanentError, TransientError: as `build`; the marts before are published, those after are not.
    """
    found = []
    with target.session() as session:
        for mart in (m for m in MARTS if m.subject == subject):
            if mart.table not in stale(target, sql_dir):  # asked anew each time: a publication marks what is made of it
                continue
            built = build(session, mart, sql_dir)
            log.info("mart=%s days=%s checks=%s", mart.table, built.days, len(built.checks))
            for warning in built.warnings:
                log.warning("mart=%s warn %s", mart.table, warning)
            found.append(built)
    return found


def as_text(built: Iterable[Built]) -> dict[str, Any]:
    """Returns what an asset event tells of a subject's build: days and warnings by mart."""
    return {b.mart: {"days": b.days, "warnings": [str(c) for c in b.warnings]} for b in built}
