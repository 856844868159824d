"""A soak: `python -m benchmarks.soak [--minutes 20] [--rate 300]`.

The whole stack with Airflow takes events of two feeds at a steady rate. How old is an event when core shows it, minute by
minute; how much memory does each process hold, and how long does each step take, at the start and at the end?
"""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import typer

from benchmarks import ages, report, stacks
from benchmarks.report import Row
from local.observer import Observer
from local.stack import Stack
from local.supervision import AIRFLOW, Supervisor, wait_for

FEEDS = ("online_retail", "product_events")
MEGABYTE = 1e6
SAMPLE_SECONDS = 5.0
DRAIN_SECONDS = 600
TASKS_PAGE = 100
WINDOW = 0.15  # the start and the end of the soak are so much of it each


class Memory(stacks.Beside):
    """Samples what each part of the stack holds, with its children; Airflow's tasks are a part of their own."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(self._sample, SAMPLE_SECONDS)
        self.stack, self.samples = stack, list[tuple[float, dict[str, int]]]()

    def _sample(self) -> None:
        self.samples.append((time.monotonic(), self._held()))

    def _held(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for state in Supervisor(self.stack).states():
            if not state["pid"]:
                continue
            processes = stacks.tree(state["pid"])
            if state["name"] == f"{AIRFLOW}scheduler":
                found["tasks"] = stacks.resident_bytes(processes[1:])
                processes = processes[:1]
            found[state["name"]] = stacks.resident_bytes(processes)
        return found


def memory_rows(samples: list[tuple[float, dict[str, int]]]) -> list[Row]:
    """Returns for each part the median at the start and at the end, and the most it ever held, in MB."""
    first, last = samples[0][0], samples[-1][0]
    edge = (last - first) * WINDOW
    rows = []
    for name in dict.fromkeys(name for _, found in samples for name in found):
        held = [(at, found[name]) for at, found in samples if name in found]
        start = [size for at, size in held if at <= first + edge]
        end = [size for at, size in held if at >= last - edge]
        if not start or not end:
            continue
        before, after = statistics.median(start) / MEGABYTE, statistics.median(end) / MEGABYTE
        rows.append(
            {
                "process": name,
                "start MB": before,
                "end MB": after,
                "most MB": max(s for _, s in held) / MEGABYTE,
                "end / start": after / before if before else None,
            }
        )
    return rows


# -- steps --------------------------------------------------------------------------------------------------------------


def task_instances(stack: Stack, since: datetime) -> list[dict[str, Any]]:
    """Returns all task instances of all DAGs that began after `since`, as Airflow's API gives them."""
    found: list[dict[str, Any]] = []
    with httpx.Client(base_url=f"{stack.airflow_url}/api/v2", timeout=60) as client:
        while True:
            answer = client.get(
                "/dags/~/dagRuns/~/taskInstances",
                params={
                    "start_date_gte": since.isoformat(),
                    "limit": TASKS_PAGE,
                    "offset": len(found),
                    "order_by": "start_date",
                },
            )
            answer.raise_for_status()
            page = answer.json()
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found


def step_rows(instances: list[dict[str, Any]], started: datetime, ended: datetime) -> list[Row]:
    """Returns for each task the median of its seconds at the start and at the end of the soak, and how often it failed."""
    edge = (ended - started) * WINDOW
    steps: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for instance in instances:
        steps[f"{instance['dag_id']}.{instance['task_id']}"].append(instance)
    rows = []
    for name, of_step in sorted(steps.items()):

        def seconds(fits: Callable[[datetime], bool], of_step: list[dict[str, Any]] = of_step) -> list[float]:
            return [
                i["duration"]
                for i in of_step
                if i["duration"] is not None and i["start_date"] and fits(datetime.fromisoformat(i["start_date"]))
            ]

        start, end = seconds(lambda at: at <= started + edge), seconds(lambda at: at >= ended - edge)
        row: Row = {
            "step": name,
            "runs": len(of_step),
            "failed": sum(i["state"] == "failed" for i in of_step),
            "tried again": sum(i["try_number"] > 1 for i in of_step),
        }
        row["start, median s"] = statistics.median(start) if start else None
        row["end, median s"] = statistics.median(end) if end else None
        row["end / start"] = (
            statistics.median(end) / statistics.median(start) if start and end and statistics.median(start) else None
        )
        rows.append(row)
    return rows


# -- all ----------------------------------------------------------------------------------------------------------------


def soak(stack: Stack, minutes: float, rate: float) -> dict[str, list[Row]]:
    observer = Observer.of(stack)
    kinesis, stream = stack.client("kinesis"), stack.user_environment()["ECOMMERCE_STREAM"]
    warm = ages.Sender(kinesis, stream, FEEDS, rate)
    warm.prefix = "warm"
    warm.send_for(10)  # the first batch of a fresh stack waits for imports and for the DAGs to be parsed
    wait_for(lambda: _rows(observer) >= len(warm.put_at), DRAIN_SECONDS, "the first events", 1)

    sender = ages.Sender(kinesis, stream, FEEDS, rate)
    started, began = datetime.now(UTC), time.monotonic()
    with Memory(stack) as memory, ages.Watch(lambda: ages.committed(observer)) as watch:
        sender.send_for(60 * minutes)
        ended = datetime.now(UTC)
        wait_for(lambda: _rows(observer) >= len(warm.put_at) + len(sender.put_at), DRAIN_SECONDS, "the last events", 1)
        drained = (datetime.now(UTC) - ended).total_seconds()
    found = ages.of_batches(observer, sender, watch.seen_at)
    assert len(found) == len(sender.put_at), f"{len(sender.put_at) - len(found)} events are in no batch"
    by_minute: dict[int, list[float]] = defaultdict(list)
    for event_id, age in found.items():
        by_minute[int((sender.put_at[event_id] - began) // 60) + 1].append(age)
    rows = [
        {"minute of the put": str(minute), **ages.summary(of_minute)} for minute, of_minute in sorted(by_minute.items())
    ]
    rows.append({"minute of the put": "all", **ages.summary(found.values())})
    rate_kept = len(sender.put_at) / (60 * minutes)
    return {
        f"Age of an event when it can be queried, {rate_kept:,.0f} events/s for {minutes:g} minutes; "
        f"drained {drained:.0f} s after the last": rows,
        "Memory of each process, with its children": memory_rows(memory.samples),
        "Time of each step": step_rows(task_instances(stack, started), started, ended),
    }


def _rows(observer: Observer) -> int:
    """Rows of core of both feeds; each event is one, whatever was sent twice."""
    counts = [f"SELECT COUNT(*) AS rows FROM {observer.contracts[feed].tables[0]}" for feed in FEEDS]
    return int(observer.warehouse.query(f"SELECT SUM(rows) FROM ({' UNION ALL '.join(counts)}) AS counted")[0][0])


def main(
    minutes: Annotated[float, typer.Option(help="How long events are sent.")] = 20,
    rate: Annotated[float, typer.Option(help="Events a second, of both feeds together.")] = 300,
) -> None:
    assert timedelta(minutes=minutes) >= timedelta(seconds=30), "at least half a minute"
    os.environ.setdefault("ECOMMERCE_BUCKET", "benchmark")
    with stacks.started(airflow=True) as stack:
        tables = soak(stack, minutes, rate)
    report.publish("soak", tables)


if __name__ == "__main__":
    typer.run(main)
