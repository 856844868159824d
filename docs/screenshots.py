"""Takes the pictures in docs/images from a stack that runs and has shown its demo: the page, and DAGs in Airflow's UI.

Each picture shows the newest content of that stack; the DAG of a picture is shown by the run that did most.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from local.stack import Stack
from local.supervision import Supervisor
from tests.e2e.browser import FLAGS

PROJECT = Path(__file__).resolve().parents[1]
IMAGES = PROJECT / "docs" / "images"
WINDOW = {"width": 1440, "height": 900}
MAX_BYTES = 300_000  # a page of the docs has several
WAIT_MILLISECONDS = 120_000
# Airflow loads its parts one after the other, and moves a graph to its place: whether all is there and nothing has changed
# since the last look.
STILL = """() => {
    const graph = document.querySelector(".react-flow__viewport");
    const now = document.body.innerText + (graph ? graph.style.transform : "");
    const isStill = now === window.before && !document.querySelector("[data-testid=skeleton], .chakra-skeleton");
    window.before = now;
    return isStill;
}"""


def _page_of_figures(page: Page, url: str) -> None:
    page.goto(f"{url}/plugin/ecommerce")
    shop = page.frame_locator("iframe")
    for chart in ("trend", "best-sellers", "countries", "segments"):
        shop.locator(f"#{chart} .main-svg").first.wait_for()
    shop.locator("#conserved strong:not(.loading)").wait_for()


def _busiest_run(url: str, dag_id: str) -> str:
    """Returns the id of the successful run of which most tasks did something.

    Raises:
        SystemExit: the DAG has no such run.
    """
    newest = {"state": "success", "order_by": "-start_date", "limit": 30}
    runs = (
        httpx.get(f"{url}/api/v2/dags/{dag_id}/dagRuns", params=newest, timeout=60)
        .raise_for_status()
        .json()["dag_runs"]
    )
    if not runs:
        sys.exit(f"screenshots: {dag_id} has no run that succeeded; run: make demo")

    def done(run_id: str) -> int:
        tasks = f"{url}/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return int(
            httpx.get(tasks, params={"state": "success", "limit": 1}, timeout=60)
            .raise_for_status()
            .json()["total_entries"]
        )

    return max((run["dag_run_id"] for run in runs), key=done)


def _graph(dag_id: str) -> Callable[[Page, str], None]:
    def show(page: Page, url: str) -> None:
        page.goto(f"{url}/dags/{dag_id}/runs/{_busiest_run(url, dag_id)}")
        page.locator(".react-flow__node").first.wait_for()

    return show


def _grid(dag_id: str) -> Callable[[Page, str], None]:
    def show(page: Page, url: str) -> None:
        page.goto(f"{url}/dags/{dag_id}")
        page.locator("[id^=grid-]").first.wait_for()

    return show


# File to (theme of Airflow, view of a DAG, how it is shown).
PICTURES: dict[str, tuple[str, str, Callable[[Page, str], None]]] = {
    "ecommerce": ("light", "grid", _page_of_figures),
    "ecommerce_dark": ("dark", "grid", _page_of_figures),
    "load_events": ("light", "graph", _graph("load_events")),
    "load_events_grid": ("light", "grid", _grid("load_events")),
    "build_marts": ("light", "graph", _graph("build_marts")),
}


def take(browser: Browser, url: str, name: str) -> int:
    """Takes one picture and returns its bytes."""
    theme, view, show = PICTURES[name]
    context = browser.new_context(viewport=WINDOW, color_scheme=theme)
    kept = {"theme": theme, "default_dag_view": json.dumps(view)}
    context.add_init_script(
        f"Object.entries({json.dumps(kept)}).forEach(([key, value]) => localStorage.setItem(key, value))"
    )
    page = context.new_page()
    page.set_default_timeout(WAIT_MILLISECONDS)
    show(page, url)
    page.evaluate("document.fonts.ready")
    page.wait_for_function(STILL, polling=1_000)
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    context.close()
    return path.stat().st_size


def main() -> None:
    stack = Stack.load(PROJECT / ".local")
    if not stack or not Supervisor(stack).is_up():
        sys.exit("screenshots: no stack runs; run: make demo")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        sys.exit("screenshots: there is no Chromium on this machine; install it (on Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        sizes = {name: take(browser, stack.airflow_url, name) for name in PICTURES}
        browser.close()
    for name, size in sizes.items():
        sys.stdout.write(f"docs/images/{name}.png {size / 1000:.0f} kB\n")
    if large := [name for name, size in sizes.items() if size > MAX_BYTES]:
        sys.exit(f"screenshots: larger than {MAX_BYTES / 1000:.0f} kB: {', '.join(large)}")


if __name__ == "__main__":
    main()
