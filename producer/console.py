"""What the command line tells its user: progress, the report, how a file is read, and errors."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import typer
from ecommerce_elt.errors import without_values
from ecommerce_elt.readers.readings import Reading
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from producer.sink import Report

err = Console(stderr=True)
LINES_SHOWN = 5  # number of lines to list for each kind of skipped row
PLAIN_PROGRESS_SECONDS = 5.0  # time between progress lines if the output is not a terminal


def fail(message: object) -> NoReturn:
    said = without_values(message) if isinstance(message, BaseException) else message
    err.print(f"[red]producer:[/] {said}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


@contextlib.contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    if err.is_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=err) as bar:
            task = bar.add_task(what, total=total, speed="")
            started = time.monotonic()

            def advance(count: int) -> None:
                bar.advance(task, count)
                done = bar.tasks[0].completed
                bar.update(task, speed=f"{done / max(time.monotonic() - started, 0.001):,.0f}/s")

            yield advance
        return
    sent, shown, started = 0, time.monotonic(), time.monotonic()

    def plain(count: int) -> None:
        nonlocal sent, shown
        sent += count
        if time.monotonic() - shown >= PLAIN_PROGRESS_SECONDS:
            shown = time.monotonic()
            share = f" of {total:,}" if total else ""
            err.print(f"{what}: {sent:,}{share} sent, {sent / (shown - started):,.0f}/s", highlight=False)

    yield plain


def print_report(report: Report, report_file: Path | None, *, finished: bool) -> None:
    total = sum(report.sent.values())
    speed = total / report.seconds if report.seconds else 0.0
    by_feed = ", ".join(f"{feed} {count:,}" for feed, count in sorted(report.sent.items())) or "nothing"
    state = "sent" if finished else "stopped after"
    err.print(
        f"{state} {total:,} events ({by_feed}) in {report.seconds:.1f} s, {speed:,.0f}/s, {report.resent:,} resent",
        highlight=False,
        soft_wrap=True,
    )
    if report.refused:
        by_feed = ", ".join(f"{feed} {count:,}" for feed, count in sorted(report.refused.items()))
        err.print(f"[yellow]refused {sum(report.refused.values()):,}[/] ({by_feed}), the first for:", highlight=False)
        for reason in report.refusals:
            err.print(f"  {reason}", highlight=False, markup=False, soft_wrap=True)
    if report.warned:
        err.print(
            f"[yellow]{report.warned:,} events break their contract and will be quarantined[/], the first for:",
            highlight=False,
        )
        for reason in report.warnings:
            err.print(f"  {reason}", highlight=False, markup=False, soft_wrap=True)
    if report_file:
        kept = {
            "sent": dict(report.sent),
            "refused": dict(report.refused),
            "warned": report.warned,
            "resent": report.resent,
            "seconds": report.seconds,
            "finished": finished,
        }
        report_file.write_text(json.dumps(kept), "utf-8")


def print_reading(file: Path, reading: Reading) -> None:
    survey = reading.survey
    left_out = ", ".join(
        f"{of.rows:,} {kind.replace('_', ' ')} (line {', '.join(map(str, of.lines[:LINES_SHOWN]))}"
        f"{', ...' if of.rows > LINES_SHOWN else ''})"
        for kind, of in survey.left_out.items()
    )
    err.print(
        f"{f'{file}, {reading.name}' if reading.name else file}: {survey.rows:,} rows, left out: {left_out or 'nothing'}, "
        f"{reading.file.layout(survey)}, dates {survey.date_order}, data set {survey.data_set[:20]}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if survey.filled_down:
        filled = ", ".join(f"{key} {count:,}" for key, count in survey.filled_down.items())
        err.print(f"filled down from an order's first row: {filled}", highlight=False, markup=False, soft_wrap=True)
    if survey.uneven_rows:
        err.print(
            f"[yellow]{survey.uneven_rows:,} rows have not the header's number of fields[/]; they will be quarantined "
            "if they break the contract",
            highlight=False,
            soft_wrap=True,
        )
    if survey.formulas_without_value:
        err.print(
            f"[yellow]{survey.formulas_without_value:,} cells have a formula without a value[/]; save the workbook in a "
            "spreadsheet program to have them",
            highlight=False,
            soft_wrap=True,
        )
