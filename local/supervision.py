"""Configures and controls supervisord, which keeps the parts running, and finds processes that outlived it."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from local import google_cloud
from local.stack import MARKER, PROJECT_DIR, WAREHOUSE_USER, Stack

STOP_SECONDS = 60  # MiniStack writes its state when it stops
START_SECONDS = 20
AIRFLOW = "airflow-"
SCHEDULER = f"{AIRFLOW}scheduler"


class SupervisorDown(Exception):  # noqa: N818  # a state of things, not a failure
    """No supervisord answers in this state folder."""


@dataclass(frozen=True)
class Part:
    """One supervised program."""

    name: str
    command: list[str]
    stop_signal: str = "TERM"
    environment: dict[str, str] = field(default_factory=dict)


def _module(name: str, **options: object) -> list[str]:
    """Returns the command that runs a module of the local cloud."""
    words = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
    return [sys.executable, "-m", f"local.{name}", *words]


def _beside(command: list[str]) -> list[str]:
    """Returns the command of a part beside the main job, which yields when the processors are busy."""
    return ["nice", "-n", "10", *command]


def parts(stack: Stack) -> list[Part]:
    ports, state, airflow = stack.ports, stack.state, stack.airflow
    google = google_cloud.commands(stack) if stack.has_bigquery else {}
    return [
        Part("postgres", [*_module("postgres"), str(stack.postgres_data), str(stack.run)], "INT"),
        Part("cloud", _module("cloud")),
        Part(
            "redshift",
            _module(
                "redshift",
                port=ports["redshift"],
                database_file=stack.warehouse,
                wire_port=ports["redshift-pg"],
                user=WAREHOUSE_USER,
                password_file=stack.secrets_folder / "warehouse",
                tls_folder=stack.secrets_folder,
            ),
        ),
        Part(
            "dynamodb",
            _beside(_module("cloud")),
            environment={
                "GATEWAY_PORT": str(ports["dynamodb"]),
                "EDGE_PORT": str(ports["dynamodb"]),
                "STATE_DIR": str(state / "dynamodb"),
                "S3_PERSIST": "0",
            },
        ),
        Part("firehose", _beside(_module("firehose", port=ports["firehose"], state_file=state / "firehose.json"))),
        Part(
            "quicksight",
            _beside(
                _module("quicksight", port=ports["quicksight"], state_file=state / "quicksight.json", refreshes_a_day=0)
            ),
        ),
        Part(
            "glue",
            _beside(
                _module(
                    "glue",
                    port=ports["glue"],
                    state_folder=state / "glue",
                    logs=stack.logs,
                    catalog_url=stack.cloud_url,
                )
            ),
        ),
        *(Part(name, _beside(command), environment=environment) for name, (command, environment) in google.items()),
        # Logs are read from the shared folder. The log servers, which would listen on all interfaces, are therefore
        # disabled.
        Part("airflow-api-server", [airflow, "api-server", "--workers", "1"]),
        Part(SCHEDULER, [airflow, "scheduler", "--skip-serve-logs"]),
        Part("airflow-dag-processor", [airflow, "dag-processor"]),
        Part("airflow-triggerer", [airflow, "triggerer", "--skip-serve-logs"]),
    ]


def write_config(stack: Stack) -> None:
    """Writes supervisord.conf. No part starts automatically: `up` starts the parts in their order."""
    config = configparser.RawConfigParser()
    socket = str(stack.run / "supervisor.sock")
    config["unix_http_server"] = {"file": socket, "chmod": "0700"}
    config["supervisord"] = {
        "logfile": str(stack.logs / "supervisord.log"),
        "logfile_maxbytes": "5MB",
        "pidfile": str(stack.run / "supervisord.pid"),
        "directory": str(PROJECT_DIR),
        "childlogdir": str(stack.logs),
        "minfds": "1024",
    }
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    config["supervisorctl"] = {"serverurl": f"unix://{socket}"}
    for part in parts(stack):
        config[f"program:{part.name}"] = {
            "command": " ".join(part.command),
            "autostart": "false",
            "autorestart": "true",
            "startsecs": "1",
            "startretries": "3",
            "stopsignal": part.stop_signal,
            "stopwaitsecs": str(STOP_SECONDS),
            "stopasgroup": "false" if part.name == "postgres" else "true",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": str(stack.logs / f"{part.name}.log"),
            "stdout_logfile_maxbytes": "20MB",
            "stdout_logfile_backups": "1",
            "environment": ",".join(f'{name}="{value}"' for name, value in part.environment.items()),
        }
    with stack.supervisor_config.open("w") as file:
        config.write(file)


class Supervisor:
    """Controls one supervisord through its socket."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def _call(self, method: str, *arguments: Any) -> Any:
        # A transport that failed once continues to fail, so each call has its own.
        transport = SupervisorTransport(None, None, f"unix://{self.stack.run / 'supervisor.sock'}")
        server: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport)
        try:
            return getattr(server.supervisor, method)(*arguments)
        except (OSError, xmlrpc.client.ProtocolError) as error:
            raise SupervisorDown(str(error)) from error

    def is_up(self) -> bool:
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except SupervisorDown:
            return False

    def launch(self) -> None:
        """Starts supervisord in the background and returns when it responds."""
        write_config(self.stack)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.stack.supervisor_config)]
        subprocess.run(command, check=True, env=self.stack.environment(), cwd=PROJECT_DIR)
        wait_for(self.is_up, START_SECONDS, "supervisord")
        leader = psutil.Process(self.pid())
        (self.stack.run / "session.json").write_text(json.dumps([os.getsid(leader.pid), leader.create_time()]))

    def start(self, names: Iterable[str]) -> None:
        running = {state["name"] for state in self.states() if state["statename"] in {"RUNNING", "STARTING"}}
        for name in names:
            if name not in running:
                self._call("startProcess", name, False)

    def restart(self, name: str) -> None:
        self._call("stopProcess", name)
        self._call("startProcess", name)

    def states(self) -> list[dict[str, Any]]:
        return list(self._call("getAllProcessInfo"))

    def restarts(self) -> dict[str, int]:
        """Returns how often each part exited on its own since supervisord started, according to its log."""
        log = self.stack.logs / "supervisord.log"
        lines = log.read_text().splitlines() if log.exists() else []
        begin = max((i for i, line in enumerate(lines) if "supervisord started with pid" in line), default=0)
        found: dict[str, int] = {}
        for line in lines[begin:]:
            if match := re.search(r"exited: (\S+) \(", line):
                found[match[1]] = found.get(match[1], 0) + 1
        return found

    def pid(self) -> int:
        return int(self._call("getPID"))

    def shut_down(self) -> None:
        """Stops all parts and supervisord itself, and returns when supervisord has ended."""
        process = psutil.Process(self.pid())
        # The scheduler waits for its tasks, and these need all other parts. The rest of Airflow needs its database: a
        # triggerer without a database does not end until it is killed.
        running = [part["name"] for part in self.states() if part["statename"] == "RUNNING"]
        if SCHEDULER in running:
            self._call("stopProcess", SCHEDULER)
        for name in running:
            if name.startswith(AIRFLOW) and name != SCHEDULER:
                self._call("stopProcess", name, False)
        wait_for(self._airflow_has_ended, STOP_SECONDS * 2, "the end of Airflow")
        self._call("shutdown")
        process.wait(STOP_SECONDS * 2)

    def _airflow_has_ended(self) -> bool:
        return all(p["statename"] != "STOPPING" for p in self.states() if p["name"].startswith(AIRFLOW))


def members(stack: Stack) -> list[psutil.Process]:
    """Returns every process of this stack, supervised or not.

    A process belongs to the stack if its environment contains the marker of the stack, or if it is in the session of
    the supervisord that was launched last. Both criteria are needed: Airflow's workers write their title over their
    environment and outlive a killed scheduler, and workers of Lambda and PostgreSQL may open their own sessions.
    """
    session = _session(stack)
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and (_is_marked(process, stack) or _is_in(process, session)):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, ProcessLookupError):
            continue  # the process ended during the search
    return found


def _is_marked(process: psutil.Process, stack: Stack) -> bool:
    try:
        return process.environ().get(MARKER) == str(stack.state)
    except psutil.AccessDenied:
        return False  # a process of another user


def _session(stack: Stack) -> tuple[int, float] | None:
    """Returns (session id, start time) of the supervisord that was launched last."""
    path = stack.run / "session.json"
    if not path.exists():
        return None
    leader, began = json.loads(path.read_text())
    # The process id may have been reused by another program.
    reused = psutil.pid_exists(leader) and abs(psutil.Process(leader).create_time() - began) > 1
    return None if reused else (leader, began)


def _is_in(process: psutil.Process, session: tuple[int, float] | None) -> bool:
    if session is None:
        return False
    leader, began = session
    return os.getsid(process.pid) == leader and process.create_time() >= began - 1


def end(processes: list[psutil.Process]) -> None:
    """Ends the processes with SIGTERM, and with SIGKILL those that are still running after ten seconds."""
    for process in processes:
        _signal(process, "terminate")
    _, alive = psutil.wait_procs(processes, timeout=10)
    for process in alive:
        _signal(process, "kill")
    psutil.wait_procs(alive, timeout=10)


def _signal(process: psutil.Process, how: str) -> None:
    try:
        getattr(process, how)()
    except psutil.NoSuchProcess:
        return


class NotReady(Exception):  # noqa: N818
    """A condition did not become true in time."""


def wait_for(condition: Any, seconds: float, what: str, poll_seconds: float = 0.1) -> None:
    """Returns when `condition()` is true.

    Raises:
        NotReady: The condition is not true after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NotReady(f"{what} was not ready after {seconds:.0f} s")
        time.sleep(poll_seconds)
