"""Events stream in at a steady rate while parts of the whole stack, Airflow and all, are killed at random: `make chaos`.

The seed makes the plan: when what is done to which part. At the end everything drains, and I1 to I6 are checked against a
run without faults. What is killed must be running, so a step of the plan whose part is just starting again is left out.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from ecommerce_elt.batches.manifests import OPEN
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from local import lifecycle
from local.stack import Stack
from local.supervision import NotReady, Supervisor, members, wait_for
from producer.simulate import simulated
from tests.conftest import new_stack
from tests.e2e import search
from tests.faults.world import MARK, World
from tests.plugins.cleaning.test_cleaning import PERSON

FEEDS = "online_retail", "product_events", "purchases"
# What is done, and how often in relation to the others.
ACTIONS = {
    "task": 25,
    "lambda": 40,
    "redshift": 12,
    "stopped task": 3,
    "airflow-triggerer": 2,
    "airflow-dag-processor": 2,
    "airflow-scheduler": 1,
    "airflow-api-server": 1,
    "postgres": 1,
    "firehose": 5,
    "quicksight": 3,
    "glue": 3,
    "notifications again": 3,
    "events again": 3,
}
PAUSE_SECONDS = 0.5  # between two steps of the plan, on average
TASK_SECONDS = 1.0  # how long a step waits for a task to run
PUT_EVERY_SECONDS = 1.0
STOPPED_SECONDS = 4.0
DRAIN_SECONDS = 1200
AIRFLOW_STATE = {
    "runs": "SELECT dag_id, state, COUNT(*), MAX(run_after), MAX(start_date) FROM dag_run GROUP BY 1, 2 ORDER BY 1, 2",
    "task": """SELECT dag_id, run_id, task_id, map_index, t.state, try_number, pid, t.queued_dttm, t.start_date, last_heartbeat_at
        FROM task_instance t JOIN dag_run USING (dag_id, run_id)
        WHERE dag_run.state = 'running' AND (t.state IS NULL OR t.state <> 'success')""",
    "trigger": "SELECT trigger.id, classpath, triggerer_id, latest_heartbeat FROM trigger LEFT JOIN job ON job.id = triggerer_id",
    "job": "SELECT id, job_type, state, latest_heartbeat FROM job WHERE state = 'running' ORDER BY id",
    "DAG": "SELECT dag_id, is_stale, is_paused, has_import_errors, last_parsed_time FROM dag WHERE dag_id = 'load_events'",
    "import error": "SELECT filename, stacktrace FROM import_error",
    "asset event": "SELECT asset_id, COUNT(*), MAX(timestamp) FROM asset_event GROUP BY 1",
    "asset run to come": "SELECT target_dag_id, COUNT(*), MAX(created_at) FROM asset_dag_run_queue GROUP BY 1",
}


@dataclass(frozen=True)
class Step:
    at: float  # seconds from the beginning
    action: str
    choice: float  # which one, where there are several


def plan(seed: int, seconds: float) -> list[Step]:
    """Returns what is done when; of one seed always the same."""
    chance = random.Random(seed)
    steps, at = [], 5.0
    while (at := at + chance.expovariate(1 / PAUSE_SECONDS)) < seconds:
        [action] = chance.choices(list(ACTIONS), list(ACTIONS.values()))
        steps.append(Step(at, action, chance.random()))
    return steps


def _lambdas(process: psutil.Process) -> list[psutil.Process]:
    """Returns the processes of Lambdas under it; none where it is another part, or has just ended."""
    try:
        is_cloud = process.cmdline()[-1:] == ["local.cloud"] and process.nice() == 0
        return process.children() if is_cloud else []
    except psutil.NoSuchProcess:  # also a zombie's
        return []


class Chaos:
    def __init__(self, world: World, seed: int) -> None:
        self.world, self.stack, self.seed = world, world.stack, seed
        self.done: Counter[str] = Counter()
        self.stop = threading.Event()
        self.sent: list[bytes] = []
        self.lock = threading.Lock()

    # -- events -----------------------------------------------------------------------------------------------------

    def feed(self, rate: int) -> None:
        """Puts `rate` events a second on the stream, some broken, some corrections of earlier ones."""
        chance = random.Random(f"{self.seed}/events")
        shops = {feed: simulated(feed, None, self.seed, 0.02) for feed in FEEDS}
        number = 0
        while not self.stop.wait(PUT_EVERY_SECONDS):
            payloads: list[bytes] = []
            for feed, shop in shops.items():
                records = []
                for _ in range(rate // len(FEEDS)):
                    moment, data, broken = next(shop)
                    sent = broken.data(data) if broken and broken.data else data
                    records.append((f"{feed}-{self.seed}-{number}", sent, moment))
                    number += 1
                payloads += [self.event(feed, *record) for record in records]
                event, data, moment = chance.choice(records)
                payloads.append(self.event(feed, event, data, moment, chance.randint(2, 4)))
            payloads += self.world.events("purchases", [PERSON | {"Name": MARK}], [f"mark-{self.seed}-{number}"])
            self.world.put(payloads)
            with self.lock:
                self.sent += payloads

    def event(self, feed, event, data, moment, version=1) -> bytes:
        from ecommerce_elt.feeds.events import envelope

        return envelope(
            event_id=event,
            feed=feed,
            version=1,
            event_time=moment,
            sent_at="2026-01-01T00:00:00Z",
            data=data,
            event_version=version,
        )

    # -- faults -----------------------------------------------------------------------------------------------------

    def act(self, step: Step) -> bool:
        """Does one step, and returns whether there was something to do it to."""
        match step.action:
            case "task" | "stopped task":
                return self._task(step)
            case "lambda":
                return self._kill([child for process in members(self.stack) for child in _lambdas(process)], step)
            case "notifications again":
                return self._notify_again(step)
            case "events again":
                with self.lock:
                    again = self.sent[-200:]
                if again:
                    self.world.put(again)
                return bool(again)
            case part:
                running = [
                    p["pid"]
                    for p in Supervisor(self.stack).states()
                    if p["name"] == part and p["statename"] == "RUNNING"
                ]
                # One that was just killed is said to be running until its supervisor notices.
                return self._kill([psutil.Process(pid) for pid in running if psutil.pid_exists(pid)], step)

    def _kill(self, processes: list[psutil.Process], step: Step) -> bool:
        if not processes:
            return False
        processes[int(step.choice * len(processes))].kill()
        return True

    def _task(self, step: Step) -> bool:
        found: list[psutil.Process] = []
        with (
            suppress(NotReady),
            psycopg.connect(host=str(self.stack.run), user="postgres", dbname="airflow", autocommit=True) as metadata,
        ):

            def is_running():
                rows = metadata.execute(
                    "SELECT pid FROM task_instance WHERE state = 'running' AND pid IS NOT NULL ORDER BY pid"
                )
                found[:] = [psutil.Process(pid) for (pid,) in rows.fetchall() if psutil.pid_exists(pid)]
                return bool(found)

            wait_for(is_running, TASK_SECONDS, "a task that runs", 0.02)
        if step.action == "task" or not found:
            return self._kill(found, step)
        process = found[int(step.choice * len(found))]
        process.send_signal(signal.SIGSTOP)
        threading.Timer(STOPPED_SECONDS, _wake, [process]).start()
        return True

    def _notify_again(self, step: Step) -> bool:
        keys = sorted(self.world.observer.stored())
        if not keys:
            return False
        from ecommerce_elt.batches.manifests import RawObject
        from ecommerce_elt.reconcile import arrivals

        chosen = keys[int(step.choice * len(keys)) :][:10]
        heads = [self.world.s3.head_object(Bucket=self.world.observer.bucket, Key=key) for key in chosen]
        raws = [
            RawObject(k, h["ETag"].strip('"'), h["ContentLength"], self.world.observer.bucket)
            for k, h in zip(chosen, heads, strict=True)
        ]
        for body in map(arrivals.notification, raws):
            self.world.sqs.send_message(QueueUrl=self.world.observer.queue_url, MessageBody=body)
        return True


def _wake(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGCONT)


def run(stack: Stack, seconds: float, seed: int, rate: int, console: Console, folder: Path) -> Counter[str]:
    """Runs the plan on a stack that is up, drains, checks, and returns how often what was done.

    Raises:
        AssertionError: an invariant is broken; the message names it and some of the events.
        NotReady: it did not drain.
    """
    world = World.of(stack, folder)
    world.sqs.set_queue_attributes(QueueUrl=world.observer.queue_url, Attributes={"VisibilityTimeout": "20"})
    chaos = Chaos(world, seed)
    feeder = threading.Thread(target=chaos.feed, args=(rate,))
    feeder.start()
    began, skipped = time.monotonic(), 0
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=seconds)
        for step in plan(seed, seconds):
            time.sleep(max(0.0, began + step.at - time.monotonic()))
            try:
                worked = chaos.act(step)
            except (psutil.Error, psycopg.Error):
                worked = False  # it ended by itself, or Airflow's database is just starting again
            chaos.done[step.action] += worked
            skipped += not worked
            progress.update(bar, completed=step.at, description=f"{kills(chaos.done)} kills, {len(chaos.sent)} events")
    chaos.stop.set()
    feeder.join()
    console.print(f"{kills(chaos.done)} kills, {len(chaos.sent):,} events put; waiting until all is loaded")
    ended = time.monotonic()
    drain(world)
    console.print(f"drained after {time.monotonic() - ended:.0f} s")
    world.check()
    marked = search.in_files([stack.logs, stack.airflow_home / "logs"], [MARK]) | set(search.in_metadata(stack, [MARK]))
    assert not marked, f"I6: {marked}"
    console.print(f"done: {dict(chaos.done)}; left out, because nothing of the kind ran: {skipped}")
    audit = world.observer.audit()
    for name, counts in sorted(audit.items()):
        console.print(f"{name}: {counts}")
    return chaos.done


def drain(world: World) -> None:
    """Waits until all parts run, all events are in raw/, and Airflow has loaded them."""
    wait_for(lambda: all(p["statename"] == "RUNNING" for p in Supervisor(world.stack).states()), 120, "all parts", 1)
    wait_for(world.has_arrived, 300, "all events in raw/", 2)
    try:
        wait_for(
            lambda: world.redshift_answers() and world.observer.is_idle(),
            DRAIN_SECONDS,
            "an empty queue and no open batch",
            2,
        )
    except NotReady as error:
        raise NotReady(f"{error}: {unfinished(world)}") from None


def unfinished(world: World) -> str:
    """Returns what the queue, the lake and Airflow's database say is still to do, a line each."""
    attributes = world.sqs.get_queue_attributes(QueueUrl=world.observer.queue_url, AttributeNames=["All"])["Attributes"]
    found = [f"queue: { {k: v for k, v in attributes.items() if k.startswith('Approximate')} }"]
    found += [f"open batch: {key}" for key in world.observer.keys(OPEN)]
    found += [
        f"{part['name']}: {part['statename']}, {part['description']}" for part in Supervisor(world.stack).states()
    ]
    with psycopg.connect(host=str(world.stack.run), user="postgres", dbname="airflow") as metadata:
        for title, query in AIRFLOW_STATE.items():
            found += [f"{title}: {', '.join(map(str, row))}" for row in metadata.execute(query)]
    return "\n".join(found)


def kills(done: Counter[str]) -> int:
    return sum(
        count for action, count in done.items() if action not in {"stopped task", "notifications again", "events again"}
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=30, help="events a second")
    given = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        stack = new_stack(Path(name) / "stack")
        folder = Path(name) / "world"
        folder.mkdir()
        try:
            lifecycle.up(stack, console)
            done = run(stack, given.seconds, given.seed, given.rate, console, folder)
        finally:
            lifecycle.down(stack, console)
    console.print(f"seed {given.seed}: {kills(done)} kills, no event lost, none doubled")


if __name__ == "__main__":
    sys.exit(main())
