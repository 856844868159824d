"""The marts and their sources, and how a mart is built, checked and published.

A mart is a table with three files in `include/sql/<schema>/<table>/`: `create.sql`; `build.sql`, which computes the
rows of the changed periods (or keys) into the temporary table `staged`; and `checks.yaml`, which declares the checks of
these rows. If the checks pass, the rows replace those of the mart in one transaction. The days that changed are marked in
`ops.stale_date`. A load marks its days for every mart of the feed, and a publication marks its days for every mart that
depends on it. A publication removes the marks that it has processed.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.feeds.sales import SALE, feeds_of_sales
from ecommerce_elt.marts import checks
from ecommerce_elt.warehouse.redshift import Session, Warehouse, chosen, render, texts

log = logging.getLogger(__name__)

Period = Literal["day", "week", "month", "quarter", "season"]
PURCHASES, STOCK = "purchases", "product_events"


@dataclass(frozen=True)
class Mart:
    """One table that `build_marts` maintains.

    Args:
        table: the name, as schema.table.
        subject: the subject area. The marts of a subject are built in one task, in the order of `MARTS`.
        sources: the names of feeds and of earlier marts; `SALE` stands for the feeds with the role of a sale.
        period: the period to which the mart's rows belong, if whole periods are replaced.
        key: the column whose values are replaced, if there is no period. Without period and key, all rows are replaced.
        like: the table whose build.sql and checks.yaml it uses, with its own period.
    """

    table: str
    subject: str
    sources: tuple[str, ...]
    period: Period | None = None
    key: str | None = None
    like: str | None = None

    def build_sql(self, sql_dir: Path, names: Mapping[str, str] = {}) -> str:  # the default is never changed
        """Returns the statement that computes the mart, rendered with the mart's names and the given names."""
        return render((self.folder(sql_dir) / "build.sql").read_text("utf-8"), {**self.names, **names})

    def checks_sql(self, sql_dir: Path) -> str:
        """Returns the statement that checks the computed rows, rendered with the mart's names."""
        return render(checks.statement(self.folder(sql_dir)), self.names)

    def folder(self, sql_dir: Path) -> Path:
        """Returns the folder with the mart's build.sql and checks.yaml."""
        return sql_dir / (self.like or self.table).replace(".", "/")

    def always(self) -> bool:
        return True

    def has_periods(self) -> bool:
        return self.period is not None

    def is_replaced_by_key(self) -> bool:
        return self.key is not None

    def is_replaced_by_period(self) -> bool:
        return self.period is not None and self.key is None

    def is_replaced_whole(self) -> bool:
        return self.period is None and self.key is None

    @property
    def names(self) -> dict[str, str]:
        return {"table": self.table, "period": self.period or "day", "key": self.key or "period_start"}


def _like(base: str, subject: str, source: str, **periods: Period) -> tuple[Mart, ...]:
    """Returns the same mart for several periods: base_daily, base_weekly, ..."""
    return tuple(
        Mart(f"mart.{base}_{name}", subject, (source,), period, like=f"mart.{base}_daily")
        for name, period in periods.items()
    )


DIMENSIONS = "dimensions"
# The marts that forecast_demand publishes. Their rows come from the program in forecast/, so they are never marked
# stale.
FORECASTS: tuple[Mart, ...] = tuple(
    Mart(f"mart.{name}", "forecast", ("mart.product_sales_daily", "mart.product_movements_daily"))
    for name in ("demand_forecast", "lead_time_demand")
)
MARTS: tuple[Mart, ...] = (
    Mart("core.dim_date", DIMENSIONS, (SALE, PURCHASES, STOCK), key="date_day"),
    Mart("mart.product_days", DIMENSIONS, (SALE, STOCK), "day"),
    Mart("core.dim_product", DIMENSIONS, ("mart.product_days",), key="product_id"),
    Mart("core.dim_country", DIMENSIONS, (SALE,), key="country"),
    *_like("sales", "sales", SALE, daily="day", weekly="week", monthly="month", quarterly="quarter"),
    Mart("mart.sales_by_country", "sales", (SALE,), "day"),
    Mart("mart.product_sales_daily", "products", (SALE,), "day"),
    *_like(
        "best_sellers",
        "products",
        "mart.product_sales_daily",
        daily="day",
        monthly="month",
        quarterly="quarter",
        seasonal="season",
    ),
    Mart("mart.basket_pairs_monthly", "products", (SALE,), "month"),
    Mart("mart.customer_days", "customers", (SALE,), "day"),
    Mart("mart.customer_behaviour", "customers", ("mart.customer_days",)),
    Mart("mart.customer_cohorts", "customers", ("mart.customer_days",)),
    Mart("mart.customer_types_monthly", "customers", ("mart.customer_days",)),
    Mart("mart.demographics_daily", "demographics", (PURCHASES,), "day"),
    Mart("mart.consumption_monthly", "demographics", (PURCHASES,), "month"),
    Mart("mart.product_movements_daily", "inventory", (STOCK,), "day"),
    Mart("mart.inventory_level", "inventory", ("mart.product_movements_daily",)),
    Mart("mart.reorder_level", "inventory", ("mart.inventory_level", "mart.lead_time_demand")),
)
# Views on facts and marts, in the order of their creation.
VIEWS = (
    "core.sales_line",
    "mart.quarterly_revenue",
    "mart.best_sellers",
    "mart.customer_segments",
    "mart.purchase_frequency",
    "mart.consumption_patterns",
    "mart.product_demand_daily",
)
TABLES = ("core.country_name", "ops.mart", "ops.stale_date", "ops.mart_build", "ops.check_results")

Steps = tuple[tuple[str, Callable[[Mart], bool]], ...]
# The transactions of a build: their statements in order, each with the condition on the mart under which it is
# included.
SEED = ("core/country_name/empty.sql", "core/country_name/seed.sql")
KNOW_BUILD = "ops/register_mart/know_build.sql"
REGISTER: Steps = (
    ("ops/register_mart/lock_staging.sql", Mart.always),
    ("ops/register_mart/register.sql", Mart.always),
    (KNOW_BUILD, Mart.always),
    ("ops/register_mart/mark_all_days.sql", Mart.always),
    ("ops/register_mart/mark_all_periods.sql", Mart.has_periods),
)
CLAIM = ("ops/claim/lock.sql", "ops/claim/claim.sql")
STAGE = (
    "ops/stage/drop_staged.sql",
    "ops/stage/read_stale_dates.sql",
    "ops/stage/find_periods.sql",
    "ops/stage/create_staged.sql",
)
STAGE_GIVEN = (
    "ops/stage_given/drop_staged.sql",
    "ops/stage_given/find_day.sql",
    "ops/stage_given/create_staged.sql",
)
# These follow build.sql and the checks of the mart, in the same transaction.
CHECKS: Steps = (
    ("ops/build_checks/period.sql", Mart.is_replaced_by_period),
    ("ops/build_checks/whole.sql", Mart.is_replaced_whole),
)
PUBLISH: Steps = (
    ("ops/publish/lock.sql", Mart.always),
    ("ops/publish/check_claim.sql", Mart.always),
    ("ops/publish/delete_key.sql", Mart.is_replaced_by_key),
    ("ops/publish/delete_period.sql", Mart.is_replaced_by_period),
    ("ops/publish/delete_whole.sql", Mart.is_replaced_whole),
    ("ops/publish/insert.sql", Mart.always),
    ("ops/publish/mark_dependents.sql", Mart.always),
    ("ops/publish/unmark.sql", Mart.always),
    ("ops/publish/record.sql", Mart.always),
)


@dataclass(frozen=True)
class Check:
    """The result of one check. Failed rows stop the publication (severity `fail`) or cause an alert (`warn`)."""

    name: str
    severity: str
    failed_rows: int
    detail: str | None

    def __str__(self) -> str:
        return f"{self.name}: {self.failed_rows} ({self.detail})"


@dataclass(frozen=True)
class Built:
    """The result of one build of a mart. `days` is the number of changed days; 0 means that the mart was up to date."""

    mart: str
    build_id: str
    days: int
    checks: tuple[Check, ...] = field(default=())

    @property
    def warnings(self) -> tuple[Check, ...]:
        return tuple(c for c in self.checks if c.failed_rows)


class ChecksFailed(PermanentError):  # noqa: N818  # a state of the data
    """A mart was not published because checks of severity `fail` found rows. The mart is unchanged.

    Args:
        mart: the table of the mart.
        failed: the failed checks.
        days: the days that the build was to include, as text.
        published_at: the time in UTC of the content that the mart still has; None if it was never published.
    """

    def __init__(self, mart: str, failed: Iterable[Check], days: str, published_at: str | None) -> None:
        self.mart, self.failed, self.days, self.published_at = mart, tuple(failed), days, published_at
        super().__init__(f"{mart} keeps its previous rows: " + "; ".join(map(str, self.failed)))

    def explained(self, runbook: str) -> str:
        """Returns an alert for people: the findings, the content shown meanwhile, and what to do."""
        lines = [f"Mart: {self.mart}"]
        for check in self.failed:
            more = f", and {check.failed_rows - 1} more" if check.failed_rows > 1 else ""
            lines += [f"Check: {check.name}", f"Found: {check.detail}{more}"]
        shows = f"its content of {self.published_at} UTC" if self.published_at else "nothing, it was never published"
        return "\n".join(
            [
                *lines,
                f"Days that wait: {self.days}",
                f"Meanwhile the page, dashboards and exports show {shows}. What is made of it waits, too; other subjects go on.",
                f"What to do: {runbook}",
                "Then run: airflow dags trigger build_marts. It takes in all days that wait.",
            ]
        )


def tables() -> list[str]:
    """Returns the marts and the tables of their state, in an order in which they can be created."""
    return [*TABLES, *(mart.table for mart in (*MARTS, *FORECASTS))]


def seed_statements(sql_dir: Path) -> list[str]:
    """Returns the statements of the transaction that fills the tables of constants."""
    return texts(sql_dir, SEED, {})


def register(target: Warehouse, sql_dir: Path, contracts: Mapping[str, Contract], *, rebuild: bool = False) -> None:
    """Registers the marts so that loads mark their days for them, and marks all days of core for new marts and sources.

    Args:
        target: the warehouse.
        sql_dir: the folder of the SQL.
        contracts: the contracts by feed.
        rebuild: marks all days for every mart, and all periods for which it has rows, so that periods without events
            are removed.
    """
    known = {tuple(row) for row in target.query((sql_dir / "ops/mart/sources.sql").read_text("utf-8"))}
    for mart in MARTS:
        for source in _sources(mart, contracts):
            if (mart.table, source) in known and not rebuild:
                continue
            for feed in feeds_under(source, contracts):
                contract = contracts[feed]
                names = {**mart.names, "staging": contract.staging, "fact": contract.tables[0]}
                parameters = {"mart": mart.table, "source": source}
                target.run(
                    texts(sql_dir, chosen(REGISTER, mart), names),
                    parameters,
                    name=f"register {mart.table}",
                )


def _sources(mart: Mart, contracts: Mapping[str, Contract]) -> list[str]:
    """Returns the feeds and marts from which the mart is built."""
    return [name for source in mart.sources for name in (feeds_of_sales(contracts) if source == SALE else [source])]


def feeds_under(source: str, contracts: Mapping[str, Contract]) -> list[str]:
    """Returns the feeds behind a source: the source itself if it is a feed, otherwise the feeds of the mart."""
    by_table = {mart.table: mart for mart in (*MARTS, *FORECASTS)}
    if source not in by_table:
        return [source]
    under = (feed for name in _sources(by_table[source], contracts) for feed in feeds_under(name, contracts))
    return list(dict.fromkeys(under))


def tables_under(built: Iterable[str], contracts: Mapping[str, Contract]) -> list[str]:
    """Returns the tables of core and the marts from which the marts `built` are built."""
    sources = {
        source for mart in (*MARTS, *FORECASTS) if mart.table in set(built) for source in _sources(mart, contracts)
    }
    return sorted(contracts[source].tables[0] if source in contracts else source for source in sources)


def stale(target: Warehouse, sql_dir: Path) -> dict[str, int]:
    """Returns the number of days that changed since the last publication, by mart."""
    return {mart: int(days) for mart, days in target.query((sql_dir / "ops/stale_date/by_mart.sql").read_text("utf-8"))}


def seconds_since_publication(target: Warehouse, sql_dir: Path) -> int | None:
    """Returns the seconds since a mart was last published, by the warehouse's clock; None if none ever was."""
    [[seconds]] = target.query((sql_dir / "ops/mart_build/age.sql").read_text("utf-8"))
    return None if seconds is None else int(seconds)


def build(session: Session, mart: Mart, sql_dir: Path) -> Built:
    """Computes the changed rows of one mart, checks them, publishes them in one transaction, and returns the result.

    Args:
        session: the session of the temporary tables, which no other build sees.
        mart: the mart.
        sql_dir: the folder of the SQL.

    Raises:
        ChecksFailed: checks failed, and nothing is published.
        PermanentError, TransientError: as in `Warehouse.run`. If a later build has claimed the mart, it is a
            PermanentError.
    """
    return _build(session, mart, sql_dir, STAGE, {})


def build_given(session: Session, mart: Mart, sql_dir: Path, names: Mapping[str, str]) -> Built:
    """Publishes a mart whose rows are computed elsewhere, like `build`; all its rows are replaced.

    Args:
        session: the session of the temporary tables.
        mart: the mart.
        sql_dir: the folder of the SQL.
        names: the names in the mart's build.sql, such as the location of the rows.
    """
    session.run(texts(sql_dir, [KNOW_BUILD], mart.names), {"mart": mart.table}, name=f"register {mart.table}")
    return _build(session, mart, sql_dir, STAGE_GIVEN, names)


def _build(session: Session, mart: Mart, sql_dir: Path, stage: Iterable[str], names: Mapping[str, str]) -> Built:
    build_id = str(uuid.uuid4())
    ids = {"mart": mart.table, "build_id": build_id}
    given = {**mart.names, **names}

    def text(path: str) -> str:
        return texts(sql_dir, [path], given)[0]

    def run(statements: list[str], what: str, values: Mapping[str, str] = {}) -> None:  # the default is never changed
        session.run(statements, {**ids, **values}, name=f"{what} {mart.table}")

    # The claim is a separate transaction, so that publications of others during the computation cause no conflict.
    run(texts(sql_dir, CLAIM, given), "claim")
    run(texts(sql_dir, stage, given), "stage_given" if stage is STAGE_GIVEN else "stage")
    [[days, first, end]] = session.query(text(f"ops/build_bounds/{'period' if mart.period else 'days'}.sql"))
    if not days:
        return Built(mart.table, build_id, 0)
    bounds = {"from_day": first, "to_day": end}
    own = [mart.build_sql(sql_dir, names), mart.checks_sql(sql_dir)]
    run([*own, *texts(sql_dir, chosen(CHECKS, mart), given)], "build", bounds)
    results = tuple(Check(*row) for row in session.query(text("ops/check_results/by_build.sql"), ids))
    if failed := [c for c in results if c.severity == "fail" and c.failed_rows]:
        named = [day for (day,) in session.query(text("ops/build_bounds/named.sql"))]
        waiting = ", ".join(named) + (f" and {int(days) - len(named)} more" if int(days) > len(named) else "")
        [[published_at]] = session.query(text("ops/mart_build/last.sql"), ids)
        raise ChecksFailed(mart.table, failed, waiting, published_at and published_at[:19])
    run(texts(sql_dir, chosen(PUBLISH, mart), given), "publish")
    return Built(mart.table, build_id, int(days), results)


def build_subject(target: Warehouse, subject: str, sql_dir: Path) -> list[Built]:
    """Builds the stale marts of one subject, in order, and returns the results.

    Raises:
        ChecksFailed, PermanentError, TransientError: as in `build`. Earlier marts are then published, later ones are
            not.
    """
    found = []
    with target.session() as session:
        for mart in (m for m in MARTS if m.subject == subject):
            if mart.table not in stale(target, sql_dir):  # queried each time: publications mark dependents
                continue
            built = build(session, mart, sql_dir)
            log.info("mart=%s days=%s checks=%s", mart.table, built.days, len(built.checks))
            for warning in built.warnings:
                log.warning("mart=%s warn %s", mart.table, warning)
            found.append(built)
    return found


def as_text(built: Iterable[Built]) -> dict[str, Any]:
    """Returns the extra of an asset event for a subject's build: days and warnings by mart."""
    return {b.mart: {"days": b.days, "warnings": [str(c) for c in b.warnings]} for b in built}
