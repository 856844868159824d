"""Starting, stopping, and what a user is told."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
from rich.console import Console

from local import lifecycle
from local.observer import Observer
from local.services import DEFAULT_PORTS
from local.stack import Stack
from local.supervision import Supervisor, members, wait_for
from tests.conftest import PROJECT, new_stack

QUIET = Console(quiet=True)


def command(state, *arguments, **env):
    done = subprocess.run(
        [sys.executable, "-m", "local", *arguments, "--state", str(state)],
        cwd=PROJECT,
        env=os.environ | env,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def test_env_prints_lines_for_a_shell_and_nothing_else(cloud):
    code, out, _ = command(cloud.state, "env")
    lines = [text for text in out.splitlines() if not re.fullmatch(r"unset \w+|aws\(\) \{ .+ \}", text)]
    names = [re.fullmatch(r"export (\w+)=(.+)", text) for text in lines]
    assert code == 0
    assert {
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_REDSHIFT_DATA",
        "AIRFLOW_URL",
        "ECOMMERCE_BUCKET",
        "ECOMMERCE_STREAM",
    } <= {n[1] for n in names}
    script = f"{out}\n{shlex.quote(sys.executable)} -c \"import boto3; print(*[b['Name'] for b in boto3.client('s3').list_buckets()['Buckets']])\""
    shell = subprocess.run(["bash", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert "ecommerce-lake-000000000000" in shell.stdout.split(), shell.stderr


def test_a_part_that_dies_is_restarted_and_shown(cloud):
    [redshift] = [p for p in members(cloud) if "local.redshift" in p.cmdline()]
    before = Supervisor(cloud).restarts().get("redshift", 0)
    redshift.kill()
    wait_for(lambda: Supervisor(cloud).restarts().get("redshift", 0) == before + 1, 10, "the restart in the log")
    wait_for(lambda: lifecycle._answers(f"{cloud.url('redshift')}/health"), 30, "redshift")
    code, out, _ = command(cloud.state, "status")
    [line] = [text for text in out.splitlines() if text.strip().startswith("redshift")]
    assert line.split()[-1] == str(before + 1)
    assert code == 1  # Airflow's parts are not started in this stack, and status says so


def test_everything_listens_on_loopback_only(cloud):
    pids = {p.pid for p in members(cloud)}
    listening = [c for c in psutil.net_connections("inet") if c.pid in pids and c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    assert {c.laddr.port for c in listening} == {cloud.ports[s.name] for s in cloud.services if s.name != "airflow"}


def test_a_taken_port_is_one_line_and_leaves_nothing(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, said = command(tmp_path / "state", "up", REDSHIFT_PORT=str(port), CLOUD_PORT="0", AIRFLOW_PORT="0")
    assert code == 1
    assert len(said.strip().splitlines()) == 1
    assert f"port {port} (redshift) is taken by process {os.getpid()}" in said
    assert f"REDSHIFT_PORT={port + 1000}" in said
    assert members(Stack(tmp_path / "state")) == []


class HalfStarted(BaseHTTPRequestHandler):
    """An api-server that first hangs up, then is not ready, and then has a DAG that cannot be imported."""

    requests = 0

    def do_GET(self):
        HalfStarted.requests += 1
        if self.requests == 1:
            return
        broken = {"filename": "mine.py", "stack_trace": "Traceback\nNameError: no such name"}
        self.send_response(503 if self.requests == 2 else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"import_errors": [broken]}).encode())

    def log_message(self, *_):
        pass


def test_an_airflow_that_is_slow_to_answer_is_waited_for(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), HalfStarted) as server:
        threading.Thread(target=server.serve_forever).start()
        stack = Stack(tmp_path, DEFAULT_PORTS | {"airflow": server.server_port})
        assert lifecycle._has_dag(stack, "load_events") is False
        assert lifecycle._has_dag(stack, "load_events") is False
        with pytest.raises(lifecycle.CannotStart, match="dags/mine.py cannot be imported: NameError: no such name"):
            lifecycle._has_dag(stack, "load_events")
        server.shutdown()


@pytest.mark.parametrize("name", ["env", "status", "logs"])
def test_before_the_first_start_the_next_step_is_said(tmp_path, name):
    code, out, said = command(tmp_path, name)
    assert (code, out) == (1, "")
    assert "run: make up" in said


def test_a_missing_file_is_said_before_anything_starts(tmp_path):
    code, _, said = command(tmp_path / "state", "demo", "--data", str(tmp_path / "none.csv"))
    assert (code, said.strip().splitlines()) == (1, [f"local cloud: {tmp_path}/none.csv: no such file"])
    assert not (tmp_path / "state").exists()


def test_a_folder_that_is_no_state_is_not_removed(tmp_path):
    (tmp_path / "precious").write_text("x")
    code, _, said = command(tmp_path, "reset")
    assert code == 1
    assert "it is not removed" in said
    assert (tmp_path / "precious").exists()


def waiting(observer):
    names = ["ApproximateNumberOfMessages"]
    attributes = observer.sqs.get_queue_attributes(QueueUrl=observer.queue_url, AttributeNames=names)["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


@pytest.mark.nightly
def test_state_survives_down_and_up_and_leftovers_are_cleared(tmp_path):
    stack = new_stack(tmp_path / "state")
    try:
        lifecycle.up(stack, QUIET, airflow=False)
        observer = Observer.of(stack)
        observer.s3.put_object(
            Bucket=observer.bucket, Key="raw/feed=purchases/dt=2026-01-01/hour=00/kept.jsonl.gz", Body=b"x"
        )
        observer.warehouse.run(
            ["INSERT INTO core.fact_product_event VALUES ('e', GETDATE(), 1, 'p', 1, 1.5, 'sale', 1, -1, NULL)"]
        )
        announced = waiting(observer)
        assert announced  # the announcement of the object, and S3's test event
        lifecycle.down(stack, QUIET)
        assert members(stack) == []

        lifecycle.up(stack, QUIET, airflow=False)
        psutil.Process(Supervisor(stack).pid()).kill()  # the parts outlive their supervisor
        wait_for(lambda: not Supervisor(stack).is_up(), 10, "the end of supervisord")
        assert len(members(stack)) >= 3

        lifecycle.up(stack, QUIET, airflow=False)
        observer = Observer.of(stack)
        assert observer.stored() == {"raw/feed=purchases/dt=2026-01-01/hour=00/kept.jsonl.gz"}
        assert observer.core()["product_events"] == (1, 1)
        assert waiting(observer) == announced
    finally:
        lifecycle.reset(stack, QUIET)
    assert members(stack) == []
    assert not stack.state.exists()
