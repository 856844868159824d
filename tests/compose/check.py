"""Drives the running containers from outside: `python -m tests.compose.check`, with COMPOSE_FILE and the like set.

Sends events, triggers a DAG by Airflow's REST API, kills one service after the other under load, and counts.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from ecommerce_elt.batches.manifests import UNREADABLE
from rich.console import Console
from rich.table import Table

from local.observer import Observer
from local.stack import PROJECT_DIR, Stack
from local.supervision import wait_for

WAIT_SECONDS = 300
LOAD_RATE = 40
# MiniStack keeps streams and tables in memory until it is asked to stop; of AWS only AWS can be killed.
STOPPED = ["cloud", "dynamodb"]
KILLED = [
    "redshift",
    "airflow-scheduler",
    "airflow-triggerer",
    "airflow-dag-processor",
    "airflow-api-server",
    "postgres",
    "firehose",
    "glue",
    "quicksight",
]
out = Console(width=120)


def compose(*words: str) -> str:
    done = subprocess.run(["docker", "compose", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"docker compose {' '.join(words)}: {done.stderr}"
    return done.stdout


def state_of(service: str) -> tuple[str, str]:
    """(when its container started, its health)."""
    [number] = compose("ps", "-a", "-q", service).split()
    form = "{{.State.StartedAt}} {{.State.Health.Status}}"
    done = subprocess.run(["docker", "inspect", "-f", form, number], capture_output=True, text=True, check=True)
    started, health = done.stdout.split()
    return started, health


def hit(service: str) -> float:
    """Kills the service, or restarts it where it is in STOPPED; returns the seconds until it is healthy again."""
    before, _ = state_of(service)
    began = time.monotonic()
    if service in STOPPED:
        compose("restart", service)
    else:
        # All processes but the init, as the kernel would; the restart policy does the rest. The shell dies, too.
        subprocess.run(["docker", "compose", "exec", "-T", service, "sh", "-c", "kill -9 -1"], capture_output=True)

    def is_back() -> bool:
        started, health = state_of(service)
        return started != before and health == "healthy"

    wait_for(is_back, WAIT_SECONDS, f"{service} after it was killed", 0.5)
    return time.monotonic() - began


def client_stack(folder: Path) -> Stack:
    """The containers as a client on the host sees them."""
    kept = compose("exec", "-T", "airflow-api-server", "cat", "/var/lib/ecommerce/stack.json")
    (folder / "stack.json").write_text(kept)
    stack = Stack.load(folder)
    assert stack
    return stack


def client_environment() -> dict[str, str]:
    """What the README tells a user to eval."""
    printed = compose("exec", "-T", "airflow-api-server", "python", "-m", "local", "env")
    return dict(word.split("=", 1) for word in shlex.split(printed) if "=" in word)


class Airflow:
    """Airflow's REST API, with the login of .env."""

    def __init__(self, url: str) -> None:
        login = dict(
            line.split("=", 1)
            for line in (PROJECT_DIR / ".env").read_text().splitlines()
            if line.startswith("AIRFLOW_")
        )
        login |= {key: value for key, value in os.environ.items() if key in login}
        self.client = httpx.Client(base_url=url, timeout=30)
        assert self.client.get("/api/v2/dags").status_code == 401, "the API answers without a login"
        wrong = {"username": login["AIRFLOW_USER"], "password": "wrong"}
        assert self.client.post("/auth/token", json=wrong).status_code == 401, "a wrong password is let in"
        answer = self.client.post("/auth/token", json=wrong | {"password": login["AIRFLOW_PASSWORD"]})
        answer.raise_for_status()
        self.client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str) -> dict:
        answer = self.client.get(f"/api/v2/{path}")
        answer.raise_for_status()
        return answer.json()

    def run(self, dag_id: str, conf: dict | None = None) -> str:
        """Triggers the DAG and returns the run's state at its end."""
        answer = self.client.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf or {}})
        answer.raise_for_status()
        run_id = answer.json()["dag_run_id"]

        def state() -> str:
            return str(self.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"])

        wait_for(lambda: state() in {"success", "failed"}, WAIT_SECONDS, f"run {run_id} of {dag_id}", 1)
        return state()


def simulate(report: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "producer", "simulate", *words, "--report-file", str(report)]
    return subprocess.Popen(command, cwd=PROJECT_DIR, env=os.environ | client_environment())


def totals(observer: Observer) -> dict[str, tuple[int, int, int, int, int]]:
    """Feed to (raw, clean, quarantined, duplicates, rows in core), when nothing is on its way."""

    def now() -> dict[str, tuple[int, int, int, int, int]]:
        raw, audit, core = observer.lines(observer.stored()), observer.audit(), observer.core()
        doubled = {feed: rows - ids for feed, (rows, ids) in core.items() if rows != ids}
        assert not doubled, f"I2: rows that are doubled: {doubled}"
        return {
            feed: (raw[feed], *(audit.get(feed, {}).get(n, 0) for n in ("clean", "quarantined", "duplicates")), rows)
            for feed, (rows, _) in (core | {UNREADABLE: (0, 0)}).items()
        }

    def is_settled() -> bool:
        return observer.is_idle() and all(r == c + q + d and c == rows for r, c, q, d, rows in now().values())

    # Records that the stream has and no Lambda has seen yet are in no layer: the count must stand still, too.
    wait_for(is_settled, WAIT_SECONDS, f"the same counts in all layers: {now()}", 1)
    return now()


def added(before: dict, after: dict) -> dict[str, int]:
    """Feed to the events that are new, each once: clean or quarantined. A client may have sent one again."""
    return {feed: counts[1] + counts[2] - sum(before.get(feed, (0, 0, 0))[1:3]) for feed, counts in after.items()}


def main() -> None:
    began = time.monotonic()
    table = Table("check", "seconds", "counted", title="docker compose, from outside", title_justify="left")

    def done(what: str, since: float, counted: object = "") -> None:
        table.add_row(what, f"{time.monotonic() - since:.1f}", str(counted))
        out.print(f"{what}: {time.monotonic() - since:.1f} s {counted}", highlight=False)

    with TemporaryDirectory() as folder:
        stack = client_stack(Path(folder))
        airflow, observer = Airflow(stack.airflow_url), Observer.of(stack)
        assert airflow.get("importErrors")["total_entries"] == 0
        since = time.monotonic()
        wait_for(
            lambda: all(rows for rows, _ in observer.core().values()), WAIT_SECONDS, "events of the profile producer", 1
        )
        done("`up` alone: events of all feeds in core", since, {f: n for f, (n, _) in observer.core().items()})
        compose("stop", "producer")
        before = totals(observer)

        since = time.monotonic()
        report = Path(folder) / "report.json"
        assert simulate(report, "--feed", "purchases", "--count", "5000", "--seed", "77").wait() == 0
        after = totals(observer)
        assert added(before, after)["purchases"] == json.loads(report.read_text())["sent"]["purchases"] == 5000
        done("5,000 purchases, put to counted in core", since, after["purchases"])
        before = after

        since = time.monotonic()
        header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        rows = [
            f"81{i:04d},22423,CAKE STAND,{i % 9 + 1},2026-03-01 10:{i % 60:02d}:00,12.75,17850,France\n"
            for i in range(3000)
        ]
        key = "landing/online_retail/shop.csv"
        observer.s3.put_object(Bucket=observer.bucket, Key=key, Body=(header + "".join(rows)).encode())
        assert airflow.run("load_history", {"key": key}) == "success"
        after = totals(observer)
        assert added(before, after)["online_retail"] == 3000
        done("load_history by REST: a file of 3,000 lines in core", since, after["online_retail"])
        before = after

        since = time.monotonic()
        services = KILLED + STOPPED
        count = int(LOAD_RATE * 25 * len(services))
        load = simulate(
            report,
            *["--feed", "online_retail", "--feed", "purchases", "--feed", "product_events"],
            "--count",
            str(count // 3),
            "--rate",
            str(LOAD_RATE),
            "--seed",
            "78",
        )
        for service in services:
            assert load.poll() is None, "the load ended before the kills"
            done(
                f"{'restart' if service in STOPPED else 'SIGKILL'} of {service}, until it is healthy",
                time.monotonic() - hit(service),
            )
        assert load.wait(WAIT_SECONDS * 2) == 0
        sent = json.loads(report.read_text())["sent"]
        after = totals(observer)
        came = added(before, after)
        assert {feed: n for feed, n in came.items() if n} == sent, f"sent {sent}, clean or quarantined {came}"
        again = sum(after[feed][3] - before[feed][3] for feed in sent)
        done("all events of the load in all layers, each once", since, f"{sent}, {again} were sent again")
        assert airflow.run("build_marts") == "success"
    out.print(table)
    out.print(f"I1 and I2 hold after {len(services)} faults; {time.monotonic() - began:.0f} s in all", highlight=False)


if __name__ == "__main__":
    main()
