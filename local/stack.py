"""The configuration of the local cloud: paths, ports, and the environment of its parts."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import boto3
import httpx
from ecommerce_elt import aws_names

from local.services import DEFAULT_PORTS, GOOGLE_PROJECT, SERVICES, Service

PROJECT_DIR = Path(__file__).resolve().parents[1]
REGION = "us-east-1"
PREFIX = aws_names.PREFIX
WAREHOUSE_USER = "admin"
ACCOUNT = "000000000000"  # MiniStack's
# dag_defaults.Stage, which cannot be imported without the settings
STAGES = ("load", "marts", "dashboards", "lake", "erase", "reconcile", "features", "bigquery", "forecast")
LOGIN = "login"  # as an extra: Airflow asks for a password; make up LOGIN=1
AIRFLOW_USER = "admin"
# Settings of Airflow that are taken from the user's environment: lineage, traces and metrics.
OBSERVED = ("AIRFLOW__OPENLINEAGE__", "AIRFLOW__TRACES__", "AIRFLOW__METRICS__")
# On a laptop the DAGs poll more often than needed on AWS. The user's environment may override these settings.
LOCAL_PACE = {
    "ECOMMERCE_OPEN_BATCH_RETRY_SECONDS": "20",
    "ECOMMERCE_POLL_INTERVAL_SECONDS": "0.5",
    "ECOMMERCE_GLUE_POLL_SECONDS": "1",
    "ECOMMERCE_CRAWLER_POLL_SECONDS": "1",
    "ECOMMERCE_LANDING_POLL_SECONDS": "1",
    # Loads come first, but nobody should wait long for the figures of the last batch.
    "ECOMMERCE_MARTS_MIN_INTERVAL_SECONDS": "15",
    "ECOMMERCE_DASHBOARD_REFRESH_MINUTES": "2",
    "ECOMMERCE_DASHBOARD_CATCH_UP_CRON": "*/2 * * * *",
    "ECOMMERCE_DASHBOARD_POLL_SECONDS": "1",
    "ECOMMERCE_BIGQUERY_INTERVAL_MINUTES": "2",
    "ECOMMERCE_BIGQUERY_CATCH_UP_CRON": "1-59/2 * * * *",
}
# Keys of the HTTP API: variable, secret in the state folder, name, rights.
API_KEYS = (
    ("ECOMMERCE_API_KEY", "api_key", "local", ("send", "read")),
    ("ECOMMERCE_API_KEY_CORRECT", "api_key_correct", "local-correct", ("send", "read", "correct")),
)
# The connection to the emulators of Google Cloud, which have no users.
ANONYMOUS = '{"conn_type": "google_cloud_platform", "extra": {"is_anonymous": true}}'
UNIX_PATH_MAX = 100  # sun_path has 108 bytes; sockets add a name to the folder

# Variables of the user's environment that would make the stack use other services.
FOREIGN = ("AWS_", "AIRFLOW_", "ECOMMERCE_PII_", "ECOMMERCE_BIGQUERY_PROJECT", "GOOGLE_", "PG")

# Every process of the stack has this variable, so that `down` finds those that outlived their parents.
MARKER = "ECOMMERCE_LOCAL_STATE"


@dataclass(frozen=True)
class Stack:
    """One local cloud. Its state folder contains all its persistent data."""

    state: Path
    ports: Mapping[str, int] = field(default_factory=DEFAULT_PORTS.copy)  # by service, all of SERVICES
    # The command of another Python environment; empty uses that of the local cloud itself.
    airflow_command: str = field(default="", kw_only=True)
    extras: tuple[str, ...] = field(default=(), kw_only=True)

    # -- paths --------------------------------------------------------------------------------------------------

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def airflow_home(self) -> Path:
        return self.state / "airflow"

    @property
    def postgres_data(self) -> Path:
        return self.state / "postgres"

    @property
    def warehouse(self) -> Path:
        return self.state / "warehouse.duckdb"

    @property
    def supervisor_config(self) -> Path:
        return self.state / "supervisord.conf"

    @cached_property
    def run(self) -> Path:
        """Folder of the sockets: in the state folder, or in the temporary folder if that path is too long."""
        inside = self.state / "run"
        if len(str(inside)) <= UNIX_PATH_MAX - len("/.s.PGSQL.5432"):
            return inside
        return Path(tempfile.gettempdir()) / f"ecommerce-{hashlib.sha256(str(self.state).encode()).hexdigest()[:12]}"

    @property
    def airflow(self) -> str:
        """The command of Airflow."""
        return self.airflow_command or str(Path(sys.executable).parent / "airflow")

    @property
    def services(self) -> list[Service]:
        """The services that run in this stack."""
        return [service for service in SERVICES if not service.extra or service.extra in self.extras]

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    @property
    def has_bigquery(self) -> bool:
        return "bigquery" in self.extras

    @property
    def has_login(self) -> bool:
        return LOGIN in self.extras

    @property
    def passwords_file(self) -> Path:
        """The passwords file of Airflow's simple auth manager."""
        return self.secrets_folder / "airflow_passwords.json"

    @property
    def airflow_url(self) -> str:
        return self.url("airflow")

    @property
    def cloud_url(self) -> str:
        return self.url("cloud")

    @property
    def google_bucket(self) -> str:
        return f"{PREFIX}-export"

    @property
    def outputs_file(self) -> Path:
        return self.state / "outputs.json"

    @property
    def api_url(self) -> str:
        """URL of the HTTP API, empty before the first deployment."""
        if not self.outputs_file.exists():
            return ""
        return f"{self.cloud_url}/_aws/execute-api/{json.loads(self.outputs_file.read_text())['ApiId']}"

    # -- stored between commands ----------------------------------------------------------------------------------

    def save(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        ports = {service.variable.lower(): self.ports[service.name] for service in SERVICES}
        kept = ports | {"airflow_command": self.airflow_command, "extras": self.extras}
        (self.state / "stack.json").write_text(json.dumps(kept))

    @classmethod
    def load(cls, state: Path) -> Stack | None:
        """Returns the stack that was last started in the state folder, or None."""
        path = state.resolve() / "stack.json"
        if not path.exists():
            return None
        kept = json.loads(path.read_text())
        ports = {service.name: kept.get(service.variable.lower(), service.port) for service in SERVICES}
        extras = tuple(kept.get("extras", ()))
        return cls(state.resolve(), ports, airflow_command=kept.get("airflow_command", ""), extras=extras)

    def secret(self, name: str) -> str:
        """Returns a random secret of this state folder, which is created on the first request."""
        path = self.secrets_folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32))
        return path.read_text()

    # -- environments -------------------------------------------------------------------------------------------

    def user_environment(self) -> dict[str, str]:
        """Returns the variables that any AWS client needs to use the local cloud, and the product's own settings."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            # A setting of the same name in ~/.aws/config would send everything to AWS.
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            **{variable: self.url(service.name) for service in self.services for variable in service.clients},
            "AIRFLOW_URL": self.airflow_url,
            **(
                {"AIRFLOW_USER": AIRFLOW_USER, "AIRFLOW_PASSWORD": self.secret("airflow_password")}
                if self.has_login
                else {}
            ),
            "ECOMMERCE_BUCKET": aws_names.lake_bucket(PREFIX, ACCOUNT),
            "ECOMMERCE_STREAM": aws_names.stream(PREFIX),
            "ECOMMERCE_RAW_OBJECTS_QUEUE": f"{PREFIX}-raw-objects",
            "ECOMMERCE_ALERTS_TOPIC_ARN": f"arn:aws:sns:{REGION}:{ACCOUNT}:{PREFIX}-alerts",
            "ECOMMERCE_API_URL": self.api_url,
            **{variable: self.secret(secret) for variable, secret, _, _ in API_KEYS},
            "ECOMMERCE_PII_HMAC_KEY": self.secret("pii_hmac_key"),
            **(self._google_environment() if self.has_bigquery else {}),
        }

    def warehouse_environment(self) -> dict[str, str]:
        """Returns the variables with which psql and similar clients log in to the warehouse.

        They are not for Airflow, whose metadata is in PostgreSQL.
        """
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.ports["redshift-pg"]),
            "PGUSER": WAREHOUSE_USER,
            "PGPASSWORD": self.secret("warehouse"),
            "PGDATABASE": PREFIX,
        }

    @property
    def secrets_folder(self) -> Path:
        return self.state / "secrets"

    def _login_environment(self) -> dict[str, str]:
        """Returns the settings for Airflow's login: all users of this machine are admitted, or a password is needed."""
        if not self.has_login:
            return {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True"}
        return {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{AIRFLOW_USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.passwords_file),
        }

    def keep_login(self) -> None:
        """Writes the password to the file that Airflow reads."""
        self.passwords_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.passwords_file.touch(mode=0o600)
        self.passwords_file.write_text(json.dumps({AIRFLOW_USER: self.secret("airflow_password")}))

    def airflow_headers(self) -> dict[str, str]:
        """Returns the headers for a request to Airflow's API, with a new token if a login is required.

        Raises:
            httpx.HTTPError: Airflow does not respond (yet), or refuses the password.
        """
        if not self.has_login:
            return {}
        login = {"username": AIRFLOW_USER, "password": self.secret("airflow_password")}
        answer = httpx.post(f"{self.airflow_url}/auth/token", json=login, timeout=30).raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def _google_environment(self) -> dict[str, str]:
        """Returns the variables that Google's clients need beside the URLs, and the product's settings."""
        return {
            "GOOGLE_CLOUD_PROJECT": GOOGLE_PROJECT,
            "ECOMMERCE_BIGQUERY_PROJECT": GOOGLE_PROJECT,
            "ECOMMERCE_BIGQUERY_BUCKET": self.google_bucket,
        }

    def client(self, service: str) -> Any:
        """Returns a boto3 client of the local cloud."""
        env = self.user_environment()
        url = env.get(f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}", env["AWS_ENDPOINT_URL"])
        return self._session.client(cast("Any", service), endpoint_url=url)  # the stubs know only literal names

    @cached_property
    def _session(self) -> boto3.session.Session:
        """The session of all clients. Each new session reads botocore's data again, which takes 0.1 s."""
        env = self.user_environment()
        return boto3.session.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name=REGION)

    def environment(self) -> dict[str, str]:
        """Returns the whole environment of the stack's processes."""
        bin_dir = str(Path(sys.executable).parent)
        # The product's own settings (ECOMMERCE_...) in the user's environment apply, except those that are set here.
        kept = {k: v for k, v in os.environ.items() if k.startswith(OBSERVED) or not k.startswith(FOREIGN)}
        own = {
            k: v for k, v in self.user_environment().items() if k not in {"ECOMMERCE_PII_HMAC_KEY", "AIRFLOW_PASSWORD"}
        }  # Secrets Manager provides the first, and no task needs the second
        return (
            LOCAL_PACE
            | kept
            | own
            | {
                MARKER: str(self.state),
                "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}",
                "PYTHONPATH": os.pathsep.join([str(PROJECT_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]),
                "PYTHONUNBUFFERED": "1",
                "TMPDIR": str(self.state / "tmp"),
                "ECOMMERCE_WORK_DIR": str(self.state / "work"),
                "ECOMMERCE_API_HOSTS": "127.0.0.1,localhost",
                "ECOMMERCE_S3_OBJECT_URL": f"{self.cloud_url}/{{bucket}}/{{key}}",
                "ECOMMERCE_REDSHIFT_STATEMENT_URL": f"{self.url('redshift')}/statements/{{statement_id}}",
                "ECOMMERCE_QUICKSIGHT_DATA_SET_URL": f"{self.url('quicksight')}/data-sets/{{data_set_id}}",
                "ECOMMERCE_GLUE_TABLE_URL": f"{self.url('glue')}/tables/{{database}}.{{table}}",
            }
            | self._ministack_environment()
            | self._airflow_environment()
        )

    def _ministack_environment(self) -> dict[str, str]:
        """Returns MiniStack's settings: loopback only, no listeners beside HTTP, state kept."""
        return {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.ports["cloud"]),
            "EDGE_PORT": str(self.ports["cloud"]),
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.state / "cloud"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.state / "s3"),
            "LAMBDA_EXECUTOR": "local",
            "LOG_LEVEL": "INFO",
        }

    def _airflow_environment(self) -> dict[str, str]:
        """Returns Airflow's settings and connections."""
        url = f"postgresql+psycopg:///airflow?host={self.run}&user=postgres"
        return {
            "AIRFLOW_HOME": str(self.airflow_home),
            # On AWS each stage has a role. Here each has at least an access key, which identifies the stage of a
            # call.
            "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
            **{f"AIRFLOW_CONN_AWS_{stage.upper()}": f"aws://{stage}:local@/?region_name={REGION}" for stage in STAGES},
            **({"AIRFLOW_CONN_GCP_BIGQUERY": ANONYMOUS} if self.has_bigquery else {}),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_DIR / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_DIR / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            **self._login_environment(),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.ports["airflow"]),
            "AIRFLOW__API__BASE_URL": self.airflow_url,
            "AIRFLOW__API__SECRET_KEY": self.secret("airflow_api"),
            "AIRFLOW__API_AUTH__JWT_SECRET": self.secret("airflow_jwt"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": url,
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.airflow_home / "logs"),
            # 0.2 s for each task instead of 1.2: the pause of the scheduler, and the time that a finished task
            # keeps its slot.
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # A killed task or scheduler is detected after seconds instead of minutes.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            # A changed file is parsed at once. Parsing all files every 30 s takes a tenth of two processors.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        }
