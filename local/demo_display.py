"""The output of the demo: a live display of its stages, and a summary for a terminal of 24 lines by 80 columns."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

LAYERS = ("produced", "raw", "clean", "quarantined", "duplicates")
KEPT_IN = {
    "load_events": "core.fact_invoice_line",
    "dynamodb_writer": "DynamoDB invoices, customers",
    "Firehose": "core.firehose_transactions",
}
PLAIN_SECONDS = 30  # between two lines about the same stage, if there is no terminal


class Display:
    """The stages of a demo: live progress bars on a terminal, elsewhere a line when a stage ends.

    Several threads may call it. A stage that has not been shown before is added.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._said: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
        columns = (
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=14),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=console) if console.is_terminal else None

    def __enter__(self) -> Display:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the live display, so later output is printed below it."""
        if self._bars:
            self._bars.stop()

    def show(self, stage: str, text: str, done: int = 0, total: int | None = None) -> None:
        """Updates a stage.

        Args:
            total: the value at which `done` is complete, or None if it is not known yet.
        """
        with self._lock:
            now = time.monotonic()
            if stage not in self._began:
                self._began[stage] = self._said[stage] = now
                if self._bars:
                    self._tasks[stage] = self._bars.add_task(stage, total=None, text="")
            if self._bars:
                # A stage ends only when `finish` is called, even if `done` has reached the total.
                whole = max(total, done + 1) if total is not None else None
                self._bars.update(self._tasks[stage], completed=done, total=whole, text=text)
            elif now - self._said[stage] >= PLAIN_SECONDS:
                self._said[stage] = now
                self.console.print(f"  {stage}: {text}", highlight=False, markup=False, soft_wrap=True)

    def finish(self, stage: str, text: str) -> None:
        """Ends a stage that was shown before."""
        with self._lock:
            seconds = time.monotonic() - self._began[stage]
            if self._bars:
                self._bars.update(self._tasks[stage], completed=1, total=1, text=text)
            else:
                self.console.print(
                    f"[green]✓[/] {stage}: {text} [dim]{seconds:.1f} s[/]", highlight=False, soft_wrap=True
                )


@dataclass(frozen=True)
class Summary:
    """The counts of a demo.

    Attributes:
        counts: number of events of this run for each feed and layer, and under `warehouse` the rows in the warehouse.
        added: number of rows that the run added to the warehouse.
        seconds: time from the first event to the last one that was loaded.
        ways: (invoice lines, their sum, seconds until they were equal) for each way through the stream.
        data_sets: number of data sets of the dashboards, and of the rows in all of them.
        checks: number of checks of the marts that passed, and that warn.
        bigquery: one line about the content of BigQuery; empty if it is not part of the stack.
    """

    counts: Mapping[str, Mapping[str, int]]
    added: int
    seconds: float
    ways: Mapping[str, tuple[int, Decimal, float]]
    data_sets: tuple[int, int]
    checks: tuple[int, int]
    bigquery: str = ""


def _table(title: str, *columns: str, words: int) -> Table:
    """Returns a table without borders; the first `words` columns are text and the others are numbers."""
    table = Table(
        box=None, title=f"[bold]{title}[/]", title_justify="left", title_style="", padding=(0, 1, 0, 0), pad_edge=False
    )
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index < words else "right", header_style="dim", no_wrap=True)
    return table


def print_events(console: Console, summary: Summary) -> None:
    """Prints the events of the run by feed and layer; the rows of the warehouse are those of all runs."""
    total = {name: sum(count[name] for count in summary.counts.values()) for name in (*LAYERS, "warehouse")}
    speed = total["produced"] / summary.seconds
    title = f"Events of this run: {summary.seconds:.1f} s, {speed:,.0f} events/s"
    table = _table(title, "feed", *LAYERS, "warehouse", words=1)
    for feed, count in summary.counts.items():
        table.add_row(feed, *(f"{count[name]:,}" for name in (*LAYERS, "warehouse")))
    if len(summary.counts) > 1:
        table.add_row("all", *(f"{total[name]:,}" for name in (*LAYERS, "warehouse")), style="bold")
    console.print(table)


def print_summary(console: Console, summary: Summary, *, airflow_url: str, api_url: str) -> None:
    """Prints the counts and where to find more, in at most 24 lines of 80 columns."""
    print_events(console, summary)
    ways = _table(
        "The same invoice lines by each way through the stream", "way", "kept in", "lines", "sum", "after", words=2
    )
    for name, place in KEPT_IN.items():
        lines, amount, seconds = summary.ways[name]
        ways.add_row(name, place, f"{lines:,}", f"{amount:,.2f}", f"{seconds:.1f} s")
    console.print(ways)

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    passed, warned = summary.checks
    data_sets, rows = summary.data_sets
    say(f"Marts are up to core: {passed} checks passed, {warned} warn. {data_sets} data sets, {rows:,} rows.")
    if summary.bigquery:
        say(summary.bigquery)
    say("[green]✓ I1 holds[/]: produced = raw = clean + quarantined + duplicates")
    say(
        "[green]✓ I2 holds[/]: one row per event id"
        + ("" if summary.added else "; nothing was added, nothing is doubled")
    )
    say("\n[bold]Open[/]")
    for url, what in (
        (f"{airflow_url}/plugin/ecommerce", "the shop, and the pipeline's health"),
        (f"{airflow_url}/dags/load_events", "events to the warehouse: open a run"),
        (f"{airflow_url}/dags/build_marts", "the warehouse to the marts"),
        (api_url, "HTTP API, key: make env"),
    ):
        say(f"  [link={url}]{url}[/link]  [dim]{what}[/]")
    say("Run it again: nothing is added. [bold]make down[/] stops everything.")
