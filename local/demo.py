"""Tests the main job from outside: sends events, waits until they are in the warehouse, and counts every layer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path

import httpx
from rich.console import Console

from local import senders
from local.demo_bigquery import NotExported, export_and_count
from local.demo_display import Display, Summary, print_events, print_summary
from local.observer import Observer
from local.stack import PROJECT_DIR, Stack

SIMULATED_EVENTS = 60_000
SEED, BAD_RATE, REPEAT_RATE = 42, 0.01, 0.002
HTTP_SHARE = 20  # one of this many simulated events is sent by POST /events
OTHERS_SHARE = 900  # one of this many events is sent in each way of other senders (local/senders.py)
PRODUCERS = 2  # at a time: while one waits for responses, the other creates events
POLL_SECONDS = 0.5
STALLED_SECONDS = 180  # time without progress after which the demo stops waiting and reports it
# The names of the stages in the display.
SENDING, STORING, LOADING = "sending", "stored in S3 raw/", "loaded or quarantined"
WAYS, MARTS = "DynamoDB, Firehose", "marts and dashboards"


class DemoFailed(Exception):  # noqa: N818
    """Events are missing or duplicated, or did not arrive. The message is one line that says where to look."""


def run_demo(
    stack: Stack, display: Display, *, data: Path | None, rows: int | None, feed: str, replay: list[str]
) -> None:
    """Runs the main job once and prints the counts of every layer.

    Args:
        replay: further options of `producer replay` for the file.

    Raises:
        DemoFailed: An invariant does not hold, or events did not arrive.
    """
    observer = Observer.of(stack)
    stored_before, audit_before, core_before = observer.stored(), observer.audit(), observer.core()
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        total = None if data else rows or SIMULATED_EVENTS
        producing = pool.submit(
            _produce, stack, display, data=data, rows=rows, feed=feed, replay=replay, first=not audit_before
        )
        produced = _wait(observer, display, stored_before, audit_before, producing, total)
    seconds = time.monotonic() - started

    raw = observer.lines(observer.stored() - stored_before)
    audit, core = observer.audit(), observer.core()
    counts = {
        name: {
            "produced": produced[name],
            "raw": raw[name],
            **_change(audit, audit_before, name),
            "warehouse": core[name][0] if name in core else 0,
        }
        for name in sorted(set(produced) | set(raw))
    }
    added = sum(rows for rows, _ in core.values()) - sum(rows for rows, _ in core_before.values())
    summary = Summary(counts, added, seconds, {}, (0, 0), (0, 0))
    if problems := _problems(counts, core, audit):
        print_events(display.console, summary)
        raise DemoFailed("; ".join(problems))
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(_refresh_and_show, stack, observer, display)
        ways = _wait_for_ways(observer, display, started)
        data_set_rows = refreshed.result()
    bigquery = _export(stack, observer, display) if stack.has_bigquery else ""
    whole = replace(
        summary,
        ways=ways,
        data_sets=(len(data_set_rows), sum(data_set_rows.values())),
        checks=_checks(observer),
        bigquery=bigquery,
    )
    display.close()
    print_summary(display.console, whole, airflow_url=stack.airflow_url, api_url=stack.api_url)


def _export(stack: Stack, observer: Observer, display: Display) -> str:
    """Exports to BigQuery, and returns one line about its content afterwards."""
    try:
        return export_and_count(stack, observer.warehouse, display, lambda dag_id: _trigger(stack, dag_id))
    except NotExported as error:
        raise DemoFailed(str(error)) from error


def _produce(
    stack: Stack, display: Display, *, data: Path | None, rows: int | None, feed: str, replay: list[str], first: bool
) -> Counter[str]:
    """Runs the producers as a user would, and returns the number of events that Kinesis confirmed, by feed.

    Args:
        first: nothing was sent before. Only then are events sent whose ids would differ in another run.
    """
    if data:
        display.show(SENDING, str(data))
        arguments = ["replay", str(data.resolve()), "--feed", feed, *(["--rows", str(rows)] if rows else []), *replay]
        try:
            sent = _send(stack, 0, arguments, display.console)
        except DemoFailed as error:
            hint = 'the demo takes options of the producer, such as: make demo DATA=... ARGS="--date-order dmy"'
            raise DemoFailed(f"{error}\n{hint}") from error
    else:
        display.show(SENDING, "simulated events of three feeds")
        runs = _simulations(rows or SIMULATED_EVENTS)
        with ThreadPoolExecutor(PRODUCERS) as pool:
            confirmed = pool.map(lambda run: _send(stack, run[0], run[1], None), enumerate(runs))
            sent = sum(confirmed, Counter[str]())
        display.show(SENDING, "events as other senders send them")
        sent += senders.send(stack, (rows or SIMULATED_EVENTS) // OTHERS_SHARE, without_ids=first)
    display.finish(SENDING, f"{sum(sent.values()):,} events")
    return sent


def _simulations(total: int) -> list[list[str]]:
    """Returns the arguments of the producers, so that their events and those of other senders add up to `total`."""
    names = ("online_retail", "purchases", "product_events")
    total -= total // OTHERS_SHARE * len(names) * len(senders.WAYS)
    shares = [total // 3 + (1 if i < total % 3 else 0) for i in range(3)]
    runs = []
    for name, share in zip(names, shares, strict=True):
        by_http = share // HTTP_SHARE
        runs.append(
            [
                "simulate",
                "--feed",
                name,
                "--count",
                str(share - by_http),
                "--seed",
                str(SEED),
                "--bad-rate",
                str(BAD_RATE),
                "--repeat-rate",
                str(REPEAT_RATE),
            ]
        )
        runs.append(["simulate", "--feed", name, "--count", str(by_http), "--seed", str(SEED + 1), "--sink", "http"])
    return [run for run in runs if run[run.index("--count") + 1] != "0"]


def _send(stack: Stack, number: int, arguments: list[str], console: Console | None) -> Counter[str]:
    """Runs one producer, and returns the number of events that Kinesis confirmed, by feed.

    Args:
        console: receives the producer's messages about a file, or None to discard them.

    Raises:
        DemoFailed: The producer failed; with its messages.
    """
    report = stack.state / "work" / f"producer-{number}.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "producer", *arguments, "--report-file", str(report)]
    done = subprocess.run(
        command, cwd=PROJECT_DIR, env=_producer_environment(stack), stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise DemoFailed(f"the producer ended with {done.returncode}: {done.stderr.strip()}")
    if console:
        console.print(done.stderr.rstrip(), highlight=False, markup=False, soft_wrap=True)
    return Counter(json.loads(report.read_text())["sent"])


def _producer_environment(stack: Stack) -> dict[str, str]:
    """Returns the stack's environment without its marker, because the producer is a process of the user."""
    return {k: v for k, v in stack.environment().items() if k != "ECOMMERCE_LOCAL_STATE"}


def _wait(
    observer: Observer,
    display: Display,
    stored_before: set[str],
    audit_before: dict[str, dict[str, int]],
    producing: Future[Counter[str]],
    total: int | None,
) -> Counter[str]:
    """Waits until all produced events are audited and none is in transit, and returns their number by feed.

    Args:
        total: number of events that will be produced, or None if it is not known in advance.
    """
    begun = sum(a["accepted"] for a in audit_before.values())
    lines: Counter[str] = Counter()
    counted = set(stored_before)
    seen, moved = -1, time.monotonic()
    while True:
        is_produced = producing.done()
        expected = sum(producing.result().values()) if is_produced else total
        new = observer.stored() - counted
        lines += observer.lines(new)
        counted |= new
        loaded = sum(a["accepted"] for a in observer.audit().values()) - begun
        stored = sum(lines.values())
        of = f" of {expected:,}" if expected else ""
        display.show(STORING, f"{stored:,}{of} events", stored, expected)
        display.show(LOADING, f"{loaded:,}{of} events", loaded, expected)
        if expected is not None and is_produced and stored >= expected and loaded >= stored and observer.is_idle():
            display.finish(STORING, f"{stored:,} events")
            display.finish(LOADING, f"{loaded:,} events")
            return producing.result()
        if stored + loaded != seen or not is_produced:
            seen, moved = stored + loaded, time.monotonic()
        if time.monotonic() - moved > STALLED_SECONDS:
            raise DemoFailed(
                f"nothing moved for {STALLED_SECONDS} s ({stored:,}{of} events in raw, {loaded:,} loaded or "
                "quarantined); look at: make status, make logs, and the DAG load_events in the UI"
            )
        time.sleep(POLL_SECONDS)


def _wait_for_ways(observer: Observer, display: Display, started: float) -> dict[str, tuple[int, Decimal, float]]:
    """Waits until all ways have the same lines, and returns (lines, sum, seconds) of each way.

    Raises:
        DemoFailed: The ways do not reach the same result.
    """
    done: dict[str, tuple[int, Decimal, float]] = {}
    seen: dict[str, tuple[int, Decimal]] = {}
    moved = time.monotonic()
    while True:
        asked = time.monotonic()
        ways = observer.ways()
        expected = ways["load_events"]
        for name, found in ways.items():
            if found == expected and name not in done:
                done[name] = (*found, time.monotonic() - started)
        slowest = min(lines for lines, _ in ways.values())
        display.show(WAYS, f"{slowest:,} of {expected[0]:,} lines", slowest, expected[0])
        if len(done) == len(ways):
            display.finish(WAYS, f"{expected[0]:,} lines each")
            return done
        if ways != seen:
            seen, moved = ways, time.monotonic()
        if time.monotonic() - moved > STALLED_SECONDS:
            raise DemoFailed(
                f"the ways through the stream differ ({ways}); look at: make status, make logs, and docs/runbooks"
            )
        time.sleep(max(POLL_SECONDS, 4 * (time.monotonic() - asked)))  # counting must not slow down the loads


def _refresh_and_show(stack: Stack, observer: Observer, display: Display) -> dict[str, int]:
    rows = refresh_dashboards(stack, observer, lambda text: display.show(MARTS, text))
    display.finish(MARTS, f"{len(rows)} data sets are up to date")
    return rows


def refresh_dashboards(
    stack: Stack, observer: Observer, report: Callable[[str], None] = lambda text: None
) -> dict[str, int]:
    """Triggers builds and refreshes without waiting for their turn, and returns the rows of each data set.

    It returns when all marts are up to date with core, and all data sets with their marts.

    Args:
        report: called at each poll with a text about what is still behind.

    Raises:
        DemoFailed: There was no progress for too long, or the sums of the marts differ from those of core.
    """
    seen, moved = "", time.monotonic()
    asked: set[str] = set()
    while True:
        behind = observer.stale_marts()
        rows = observer.dashboards() if not behind else {}
        waiting = [name for name, count in rows.items() if count is None]
        text = f"{behind} marts behind core" if behind else f"{len(waiting)} data sets behind their marts"
        report(text)
        if rows and not waiting:
            break
        dag_id = "build_marts" if behind else "refresh_dashboards"
        if dag_id not in asked:
            _trigger(stack, dag_id)
            asked.add(dag_id)
        if text != seen:
            seen, moved = text, time.monotonic()
        if time.monotonic() - moved > STALLED_SECONDS:
            raise DemoFailed(
                f"nothing moved for {STALLED_SECONDS} s ({text}); look at the DAGs build_marts and "
                "refresh_dashboards in the UI"
            )
        time.sleep(POLL_SECONDS)
    [[mart]] = observer.warehouse.query("SELECT COALESCE(SUM(net_revenue), 0) FROM mart.sales_daily")
    [[core]] = observer.warehouse.query("SELECT COALESCE(SUM(amount), 0) FROM core.fact_invoice_line")
    if Decimal(mart) != Decimal(core):
        raise DemoFailed(f"mart.sales_daily has a net revenue of {mart}, core has {core}")
    return {name: count or 0 for name, count in rows.items()}


def _trigger(stack: Stack, dag_id: str) -> str:
    """Triggers a run, as the button in the UI does, and returns its id. The run does not wait for its turn."""
    url = f"{stack.airflow_url}/api/v2/dags/{dag_id}/dagRuns"
    answer = httpx.post(url, json={"logical_date": None}, headers=stack.airflow_headers(), timeout=30)
    if answer.status_code != HTTPStatus.OK:
        raise DemoFailed(f"Airflow does not trigger {dag_id}: {answer.status_code} {answer.text[:200]}")
    return str(answer.json()["dag_run_id"])


def _checks(observer: Observer) -> tuple[int, int]:
    """Returns (checks of the published marts that passed, checks that warn)."""
    sql = """SELECT SUM(CASE WHEN failed_rows = 0 THEN 1 ELSE 0 END), SUM(CASE WHEN failed_rows > 0 THEN 1 ELSE 0 END)
             FROM ops.check_results AS r INNER JOIN ops.mart_build AS b ON r.build_id = b.published_build_id"""
    [[passed, warned]] = observer.warehouse.query(sql)
    return int(passed or 0), int(warned or 0)


def _change(after: dict[str, dict[str, int]], before: dict[str, dict[str, int]], feed: str) -> dict[str, int]:
    names = ("clean", "quarantined", "duplicates")
    return {n: after.get(feed, {}).get(n, 0) - before.get(feed, {}).get(n, 0) for n in names}


def _problems(
    counts: dict[str, dict[str, int]], core: dict[str, tuple[int, int]], audit: dict[str, dict[str, int]]
) -> list[str]:
    """Returns a message for each violation of I1 or I2."""
    found = []
    for feed, c in counts.items():
        if c["produced"] != c["raw"]:
            found.append(f"I1: {feed}: {c['produced']:,} produced, {c['raw']:,} in raw")
        if c["raw"] != c["clean"] + c["quarantined"] + c["duplicates"]:
            found.append(
                f"I1: {feed}: {c['raw']:,} in raw, {c['clean']:,} clean + {c['quarantined']:,} quarantined "
                f"+ {c['duplicates']:,} duplicates"
            )
    for feed, (rows, ids) in core.items():
        if rows != ids:
            found.append(f"I2: {feed}: {rows:,} rows for {ids:,} event ids")
        if rows != audit.get(feed, {}).get("clean", 0):
            found.append(
                f"I1: {feed}: {rows:,} rows in the warehouse, {audit.get(feed, {}).get('clean', 0):,} clean in the audit"
            )
    return found
