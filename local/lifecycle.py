"""Starts and stops the whole local cloud."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg
from rich.console import Console

from infra.api_keys import know
from local import google_cloud, postgres
from local.services import SERVICES
from local.stack import ACCOUNT, API_KEYS, PREFIX, PROJECT_DIR, REGION, Stack
from local.supervision import NotReady, Supervisor, end, members, wait_for

if TYPE_CHECKING:
    from types_boto3_secretsmanager.client import SecretsManagerClient

CLOUD_PARTS = ["postgres", *(service.name for service in SERVICES if service.health and not service.extra)]
AIRFLOW_PARTS = ["airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"]
EARLY_AIRFLOW_PARTS = ["airflow-api-server", "airflow-dag-processor"]
READY_SECONDS = 120
# Stacks that the local cloud does not deploy: it has no network and no cost, and its Redshift and Airflow already
# exist.
NOT_LOCAL = ("network", "warehouse", "forecast", "orchestration", "budget")
# On a laptop low latency matters more than the number of objects and invocations.
LOCAL_PARAMETERS = {
    "Shards": "2",
    "RawWriterBatchWindowSeconds": "0",
    "DynamodbWriterBatchWindowSeconds": "0",
    "DynamodbWriterParallelization": "1",
    "DynamodbWriterThreads": "4",
    "FirehoseBufferSeconds": "5",
    "RedshiftWorkgroupArn": f"arn:aws:redshift-serverless:{REGION}:{ACCOUNT}:workgroup/ecommerce",
    "ApiRequestsPerSecond": "1000",
    "ApiRequestsBurst": "2000",
}


class CannotStart(Exception):  # noqa: N818
    """The stack cannot start or stop. The message is one line with the problem and the remedy."""


def up(stack: Stack, console: Console, *, airflow: bool = True) -> None:
    """Starts the missing parts, deploys the stack, and returns when the UI responds and the DAGs are loaded.

    Args:
        airflow: False starts the cloud only.

    Raises:
        CannotStart: With the reason. If the stack was down, none of its processes is left running.
    """
    supervisor = Supervisor(stack)
    was_up = supervisor.is_up()
    if stack.has_bigquery and not google_cloud.is_installed():
        raise CannotStart("BigQuery's emulators are not installed; run: make setup-bigquery")
    if not was_up:
        _clear_leftovers(stack, console)
        _check_ports(stack)
        stack.save()
        stack.secret("warehouse")
        if stack.has_login:
            stack.keep_login()
        for folder in (
            stack.logs,
            stack.airflow_home,
            stack.run,
            stack.state / "work",
            stack.state / "s3",
            stack.state / "tmp",
            stack.state / "bigquery",
        ):
            folder.mkdir(parents=True, exist_ok=True)
    try:
        if not was_up:
            postgres.prepare(stack.postgres_data, stack.run)
            supervisor.launch()
        _start_cloud(stack, supervisor, console, airflow=airflow)
    except (NotReady, CannotStart, OSError, subprocess.SubprocessError) as error:
        if not was_up:
            down(stack, console, quiet=True)
        raise CannotStart(f"{error}. Logs are in {stack.logs}") from error
    except BaseException:  # Ctrl-C or any unexpected error: no part is left running
        if not was_up:
            down(stack, console, quiet=True)
        raise


def _start_cloud(stack: Stack, supervisor: Supervisor, console: Console, *, airflow: bool) -> None:
    started = time.monotonic()

    def step(what: str) -> None:
        console.print(f"[green]✓[/] {what} [dim]{time.monotonic() - started:.1f} s[/]", highlight=False)

    running = {part["name"] for part in supervisor.states() if part["statename"] == "RUNNING"}
    google_parts = [service.name for service in stack.services if service.extra]
    answers = {s.name: partial(_answers, stack.url(s.name) + s.health) for s in stack.services if s.health}
    supervisor.start([*CLOUD_PARTS, *google_parts])
    _await(stack, supervisor, CLOUD_PARTS, {"postgres": lambda: _has_database(stack)})
    with ThreadPoolExecutor(2) as pool:
        # Airflow needs only its database to start, and its imports take as long as the whole deployment. The parts that
        # run tasks and watch the queue start after the deployment.
        is_airflow_new = airflow and not running.issuperset(AIRFLOW_PARTS)
        migrated = pool.submit(_migrate_and_start_airflow, stack, supervisor) if is_airflow_new else None
        _await(stack, supervisor, CLOUD_PARTS, {name: answers[name] for name in CLOUD_PARTS if name in answers})
        step("local cloud: MiniStack, and stand-ins of Redshift, Firehose, QuickSight, Glue and Athena")
        key = {"ECOMMERCE_PII_HMAC_KEY": stack.secret("pii_hmac_key")}  # the same key, even if the emulator lost it
        _run(stack, deploy_command(stack), "deploy", **key)
        give_api_keys(stack, stack.client("secretsmanager"))
        step("streaming stack deployed, warehouse tables created")
        dashboards = pool.submit(_run, stack, dashboards_command(), "deploy-dashboards")
        if google_parts:
            _await(stack, supervisor, google_parts, {name: answers[name] for name in google_parts})
            urls = (stack.url("bigquery"), stack.url("cloud-storage"))
            google_cloud.deploy(*google_cloud.clients(*urls), stack.google_bucket)
            step("BigQuery and Cloud Storage: data sets and bucket made")
        if migrated:
            migrated.result()
            step("Airflow metadata migrated")
        if airflow:
            supervisor.start(AIRFLOW_PARTS)
        dashboards.result()
        step("QuickSight data sets, analysis and dashboard deployed")
    if not airflow:
        return
    _await(
        stack,
        supervisor,
        AIRFLOW_PARTS,
        {
            "airflow": lambda: _airflow_is_healthy(stack),
            "the DAGs": lambda: all(
                _has_dag(stack, dag_id) for dag_id in ("load_events", "build_marts", "refresh_dashboards")
            ),
        },
    )
    step("Airflow: api-server, scheduler, dag-processor, triggerer")


def _migrate_and_start_airflow(stack: Stack, supervisor: Supervisor) -> None:
    """Migrates Airflow's database to the installed version, and starts the parts that need only the database."""
    _run(stack, [stack.airflow, "db", "migrate"], "airflow-migrate")
    supervisor.start(EARLY_AIRFLOW_PARTS)


def deploy_command(stack: Stack) -> list[str]:
    """Returns the command that deploys to this stack, as a user would to AWS."""
    words = [word for k, v in LOCAL_PARAMETERS.items() for word in ("--parameter", f"{k}={v}")]
    words += [word for name in NOT_LOCAL for word in ("--without", name)]
    return [sys.executable, "-m", "infra.deploy", "--outputs-file", str(stack.outputs_file), *words]


def give_api_keys(stack: Stack, client: SecretsManagerClient) -> None:
    """Registers the keys of this stack's users with the API, even if the emulator lost them."""
    for _, secret, name, may in API_KEYS:
        know(client, PREFIX, name, stack.secret(secret), may)


def dashboards_command() -> list[str]:
    """Returns the command that deploys the dashboards to this stack, as a user would to AWS."""
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{PREFIX}-quicksight"
    return [sys.executable, "-m", "bi.quicksight.deploy", "--secret-arn", secret]


def down(stack: Stack, console: Console, *, quiet: bool = False) -> None:
    """Stops all processes of the stack, including those that have lost their parent."""
    supervisor = Supervisor(stack)
    stopped = False
    if supervisor.is_up():
        supervisor.shut_down()
        stopped = True
    left = members(stack)
    if left:
        end(left)
        stopped = True
    if remaining := members(stack):
        raise CannotStart(f"processes {[p.pid for p in remaining]} do not end")
    if not quiet:
        console.print("stopped; nothing is left running" if stopped else "nothing was running")


def reset(stack: Stack, console: Console) -> None:
    """Stops the stack and removes its state: warehouse, lake, queues, Airflow history."""
    down(stack, console, quiet=True)
    if stack.state.exists():
        if not (stack.state / "stack.json").exists() and any(stack.state.iterdir()):
            raise CannotStart(f"{stack.state} holds no stack.json, so it is not removed; is it the right folder?")
        shutil.rmtree(stack.state)
    shutil.rmtree(stack.run, ignore_errors=True)
    console.print(f"removed {stack.state}", highlight=False)


def _clear_leftovers(stack: Stack, console: Console) -> None:
    if left := members(stack):
        console.print(f"[yellow]ending {len(left)} processes that an earlier run left[/]", highlight=False)
        end(left)
    for name in ("supervisor.sock", "supervisord.pid"):
        (stack.run / name).unlink(missing_ok=True)


def _check_ports(stack: Stack) -> None:
    for service in stack.services:
        port = stack.ports[service.name]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CannotStart(
                    f"port {port} ({service.name}) is taken{_owner(port)}. Free it, or choose another: "
                    f"make up {service.variable}={port + 1000}"
                ) from error


def _owner(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == "LISTEN" and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        return ""  # another user's process also occupies the port
    return ""


def _await(stack: Stack, supervisor: Supervisor, names: list[str], ready: dict[str, Callable[[], bool]]) -> None:
    def all_ready(what: str) -> bool:
        for state in supervisor.states():
            if state["name"] in names and state["statename"] == "FATAL":
                raise CannotStart(
                    f"{state['name']} does not start: {_last_line(stack.logs / (state['name'] + '.log'))}"
                )
        return ready[what]()

    for what in ready:
        wait_for(lambda what=what: all_ready(what), READY_SECONDS, what)


def _last_line(path: Path) -> str:
    lines = (
        [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
        if path.exists()
        else []
    )
    return lines[-1][:300] if lines else "it wrote no log"


def _run(stack: Stack, command: list[str], name: str, **more: str) -> None:
    """Runs a command to its end, with additional environment variables, and writes its output to the log `name`."""
    log = stack.logs / f"{name}.log"
    with log.open("wb") as file:
        code = subprocess.run(
            command, env=stack.environment() | more, cwd=PROJECT_DIR, stdout=file, stderr=file, check=False
        ).returncode
    if code:
        raise CannotStart(f"{name} failed: {_last_line(log)}")


def _has_database(stack: Stack) -> bool:
    try:
        postgres.create_database(stack.run, "airflow")
    except psycopg.OperationalError:
        return False
    return True


def _answers(url: str, headers: dict[str, str] | None = None) -> bool:
    try:
        return httpx.get(url, headers=headers, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _has_dag(stack: Stack, dag_id: str) -> bool:
    try:
        headers = stack.airflow_headers()
        answer = httpx.get(f"{stack.airflow_url}/api/v2/importErrors", headers=headers, timeout=5)
    except httpx.TransportError:  # the machine is busy: Airflow responds later
        return False
    if answer.status_code != 200:
        return False
    if errors := answer.json()["import_errors"]:
        raise CannotStart(
            f"dags/{errors[0]['filename']} cannot be imported: {errors[0]['stack_trace'].strip().splitlines()[-1]}"
        )
    return _answers(f"{stack.airflow_url}/api/v2/dags/{dag_id}", headers)


def _airflow_is_healthy(stack: Stack) -> bool:
    try:
        health = httpx.get(f"{stack.airflow_url}/api/v2/monitor/health", timeout=5)
    except httpx.TransportError:
        return False
    if health.status_code != 200:
        return False
    return all(
        health.json()[part]["status"] == "healthy"
        for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")
    )
