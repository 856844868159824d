"""Marts: a day against a rebuild from nothing, the build against pandas, and how soon the page shows its first picture."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.feeds.sales import SALE
from ecommerce_elt.marts import builds
from ecommerce_elt.marts.builds import MARTS
from ecommerce_elt.page.figures import KEPT_SECONDS
from ecommerce_elt.settings import PROJECT_DIR
from rich.table import Table

from local.observer import Observer
from local.stack import Stack
from local.supervision import wait_for

SQL = PROJECT_DIR / "include" / "sql"
DAY = "2011-11-14"
VISITS = 5


def _seconds(do: Callable[[], object]) -> float:
    started = time.monotonic()
    do()
    return time.monotonic() - started


def _pandas(data: Path) -> None:
    """The rival: revenue by month, quarter and country, best sellers and customers' scores, straight from the file."""
    from tests.e2e.known_answers import KnownAnswers

    known = KnownAnswers(data)
    known.net_revenue("M"), known.net_revenue("Q"), known.invoices_and_customers()
    known.top_products_by_season(), known.top_countries(), known.customers()


def first_picture(url: str) -> list[float]:
    """Returns, for some visits with figures not in the cache, milliseconds from the request to the first picture."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        return []
    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(VISITS):
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            page.goto(f"{url}/ecommerce/")
            page.wait_for_function("performance.getEntriesByName('first-picture').length > 0")
            times.append(page.evaluate("performance.getEntriesByName('first-picture')[0].startTime"))
            page.close()
            time.sleep(KEPT_SECONDS + 1)  # so that the next visit finds none kept
        browser.close()
    return times


def measure(stack: Stack, data: Path) -> Table:
    """Returns the table; the stack holds the whole file."""
    observer = Observer.of(stack)
    target = observer.warehouse
    for dag_id in ("build_marts", "refresh_dashboards"):
        httpx.patch(f"{stack.airflow_url}/api/v2/dags/{dag_id}", json={"is_paused": True}).raise_for_status()

    def build() -> None:
        for subject in dict.fromkeys(mart.subject for mart in MARTS):
            builds.build_subject(target, subject, SQL)

    def mark_a_day() -> None:
        rows = ", ".join(f"('{m.table}', '{DAY}', 'benchmark')" for m in MARTS if SALE in m.sources)
        target.run([f"INSERT INTO ops.stale_date (mart, event_date, batch_id) VALUES {rows}"])

    build()
    mark_a_day()
    day = _seconds(build)
    builds.register(target, SQL, load_contracts(PROJECT_DIR / "include/feeds"), rebuild=True)
    whole = _seconds(build)
    pandas = _seconds(lambda: _pandas(data))
    table = Table("marts of the whole file, 22 tables with their checks", "seconds", "x one day", title_justify="left")
    for name, seconds in (("one day changed", day), ("all days changed", whole), ("pandas, six answers", pandas)):
        table.add_row(name, f"{seconds:.1f}", f"{seconds / day:.1f}")
    wait_for(lambda: not observer.stale_marts(), 60, "the marts")
    if visits := first_picture(stack.airflow_url):
        table.add_row("page, first picture, median of 5 visits", f"{statistics.median(visits) / 1000:.2f}", "")
        table.add_row("page, first picture, slowest", f"{max(visits) / 1000:.2f}", "")
    return table
