"""docker-compose.yaml as it is written; `make compose-test` runs it."""

import json
import re

import pytest
import yaml

from local import health
from local.services import SERVICES
from local.stack import STAGES, Stack
from tests.conftest import PROJECT

ONCE = {"airflow-init", "deploy"}


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())["services"]


def test_every_service_is_watched_restarted_and_pinned(services):
    for name, service in services.items():
        assert re.fullmatch(r"[a-z-]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"]), name
        assert service["init"] is True
        if name in ONCE:
            assert service["restart"] == "no"
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"], name
        if service["image"].startswith("ecommerce-elt"):
            assert service["cap_drop"] == ["ALL"]
            assert "no-new-privileges:true" in service["security_opt"]


def settings_of(file):
    lines = (PROJECT / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_every_port_is_on_loopback_and_that_of_the_local_cloud(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == len(SERVICES)
    for service in SERVICES:
        part = {"airflow": "airflow-api-server", "redshift-pg": "redshift"}.get(service.name, service.name)
        given = f"${{{service.variable}:-{service.port}}}"
        assert f"127.0.0.1:{given}:{service.port}" in services[part]["ports"]
        assert settings_of(".env")[service.variable] == str(service.port)
        assert service.extra or services["airflow-init"]["environment"][service.variable] == given
        for variable in service.clients:
            assert settings_of("docker/local.env")[variable] == f"http://{part}:{service.port}"
        if service.health:
            url = f"http://127.0.0.1:{service.port}{service.health}"
            assert any(url in word for word in services[part]["healthcheck"]["test"]), url
        if service.name != "airflow":
            words = [*services[part]["command"], *services[part]["environment"].values()]
            assert any(re.search(rf"\b{service.port}\b", word) for word in words), service.name


def test_the_ports_are_documented():
    lines = (PROJECT / "docs" / "using-it.md").read_text().splitlines()
    rows = [line for line in lines if re.match(r"\| `\w+_PORT` \|", line)]
    assert rows == [f"| `{service.variable}` | {service.port} | {service.what} |" for service in SERVICES]
    for page in [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]:
        named = {int(port) for port in re.findall(r"(?:127\.0\.0\.1|localhost):(\d+)", page.read_text())}
        assert named <= {service.port for service in SERVICES}, page


def test_profiles(services):
    by_profile = {}
    for name, service in services.items():
        for profile in service.get("profiles", ["always"]):
            by_profile.setdefault(profile, set()).add(name)
    assert by_profile["celery"] == {"redis", "airflow-worker"}
    assert by_profile["producer"] == by_profile["local-producer"] == {"producer"}
    assert "aws-producer" not in by_profile  # no simulated shop sends to AWS by itself
    assert by_profile["bigquery"] == {"bigquery", "cloud-storage"}
    assert not by_profile["always"] & by_profile["local"]
    assert "COMPOSE_PROFILES=${CLOUD},${CLOUD}-producer" in (PROJECT / ".env").read_text().splitlines()


def test_airflow_is_set_as_in_the_local_cloud(services, tmp_path):
    theirs, ours = services["airflow-scheduler"]["environment"], Stack(tmp_path).environment()
    same = [
        name
        for name in ours
        if name.startswith(("AIRFLOW__SCHEDULER__", "AIRFLOW__WORKERS__", "AIRFLOW__DAG_PROCESSOR__"))
    ]
    assert same
    for name in [*same, "AIRFLOW__CORE__PARALLELISM", "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"]:
        assert theirs[name] == ours[name], name
    assert {f"AIRFLOW_CONN_AWS_{stage.upper()}" for stage in STAGES} <= set(theirs)
    local = settings_of("docker/local.env")
    for name, value in ours.items():
        if name.startswith(("ECOMMERCE_", "AWS_")) and name not in {
            "ECOMMERCE_LOCAL_STATE",
            "ECOMMERCE_WORK_DIR",
            "ECOMMERCE_API_URL",
            "ECOMMERCE_API_KEY",
            "ECOMMERCE_API_KEY_CORRECT",
            "ECOMMERCE_TASK_RETRY_DELAY_SECONDS",
        }:
            assert name in local, name
            if "127.0.0.1" not in value:
                assert local[name] == value, name


def test_no_secret_is_in_the_files(services):
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if re.search("SECRET|FERNET|JWT", key):
                assert value.startswith("cat /var/lib/ecommerce/secrets/"), (name, key)


def test_health(httpserver_of):
    url = httpserver_of({"scheduler": {"status": "unhealthy"}})
    assert health.problem([url]) == ""
    assert health.problem([url, "scheduler"]) == "scheduler is unhealthy"
    assert "refused" in health.problem(["http://127.0.0.1:9/"])


@pytest.fixture
def httpserver_of():
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    servers = []

    def serve(document):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *_):
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "file", [PROJECT / "Dockerfile", *sorted((PROJECT / "docker").glob("*.Dockerfile"))], ids=lambda f: f.name
)
def test_what_an_image_copies_is_sent_to_the_build(file):
    sent = {line.removeprefix("!") for line in (PROJECT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = [
        word
        for line in file.read_text().splitlines()
        if line.startswith("COPY ")
        for word in line.split()[1:-1]
        if not word.startswith("--")
    ]
    assert copied
    for name in copied:
        assert list(PROJECT.glob(name)), name
        assert any(name == path or name.startswith(f"{path}/") for path in sent), name
