"""The configuration of the local cloud: paths, ports, and the environment of its parts."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import httpx

PROJECT_DIR = Path(__file__).resolve().parents[1]
REGION = "us-east-1"
WAREHOUSE_USER = "admin"
ACCOUNT = "000000000000"  # MiniStack's
PREFIX = "ecommerce"
# dag_defaults.Stage, which cannot be imported without the settings
STAGES = ("load", "marts", "dashboards", "lake", "erase", "reconcile", "features", "bigquery", "forecast")
GOOGLE_PROJECT = "ecommerce-local"
EXTRAS = ("bigquery",)  # parts that start only on request: make up WITH=bigquery
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
    airflow_port: int = 8080
    cloud_port: int = 4566
    redshift_port: int = 4567
    firehose_port: int = 4568
    dynamodb_port: int = 4569
    quicksight_port: int = 4570
    glue_port: int = 4571
    bigquery_port: int = 4572
    cloud_storage_port: int = 4573
    redshift_pg_port: int = 5439
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
    def ports(self) -> dict[str, int]:
        google = {"bigquery": self.bigquery_port, "cloud-storage": self.cloud_storage_port} if self.has_bigquery else {}
        return {
            "airflow": self.airflow_port,
            "cloud": self.cloud_port,
            "redshift": self.redshift_port,
            "firehose": self.firehose_port,
            "dynamodb": self.dynamodb_port,
            "quicksight": self.quicksight_port,
            "glue": self.glue_port,
            "redshift-pg": self.redshift_pg_port,
        } | google

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
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def cloud_url(self) -> str:
        return f"http://127.0.0.1:{self.cloud_port}"

    @property
    def redshift_url(self) -> str:
        return f"http://127.0.0.1:{self.redshift_port}"

    @property
    def firehose_url(self) -> str:
        return f"http://127.0.0.1:{self.firehose_port}"

    @property
    def dynamodb_url(self) -> str:
        return f"http://127.0.0.1:{self.dynamodb_port}"

    @property
    def quicksight_url(self) -> str:
        return f"http://127.0.0.1:{self.quicksight_port}"

    @property
    def glue_url(self) -> str:
        """URL of Glue and Athena."""
        return f"http://127.0.0.1:{self.glue_port}"

    @property
    def bigquery_url(self) -> str:
        return f"http://127.0.0.1:{self.bigquery_port}"

    @property
    def cloud_storage_url(self) -> str:
        return f"http://127.0.0.1:{self.cloud_storage_port}"

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
        (self.state / "stack.json").write_text(json.dumps({k: v for k, v in asdict(self).items() if k != "state"}))

    @classmethod
    def load(cls, state: Path) -> Stack | None:
        """Returns the stack that was last started in the state folder, or None."""
        path = state.resolve() / "stack.json"
        if not path.exists():
            return None
        kept = json.loads(path.read_text())
        return cls(state.resolve(), **kept | {"extras": tuple(kept.get("extras", ()))})

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
            "AWS_ENDPOINT_URL": self.cloud_url,
            "AWS_ENDPOINT_URL_REDSHIFT_DATA": self.redshift_url,
            "AWS_ENDPOINT_URL_FIREHOSE": self.firehose_url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb_url,
            "AWS_ENDPOINT_URL_QUICKSIGHT": self.quicksight_url,
            "AWS_ENDPOINT_URL_GLUE": self.glue_url,
            "AWS_ENDPOINT_URL_ATHENA": self.glue_url,
            "AIRFLOW_URL": self.airflow_url,
            **(
                {"AIRFLOW_USER": AIRFLOW_USER, "AIRFLOW_PASSWORD": self.secret("airflow_password")}
                if self.has_login
                else {}
            ),
            "ECOMMERCE_BUCKET": f"{PREFIX}-lake-{ACCOUNT}",
            "ECOMMERCE_STREAM": f"{PREFIX}-events",
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
            "PGPORT": str(self.redshift_pg_port),
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
        """Returns the variables that Google's clients need to use the local cloud, and the product's settings."""
        return {
            "BIGQUERY_EMULATOR_HOST": self.bigquery_url,
            "STORAGE_EMULATOR_HOST": self.cloud_storage_url,
            "GOOGLE_CLOUD_PROJECT": GOOGLE_PROJECT,
            "ECOMMERCE_BIGQUERY_PROJECT": GOOGLE_PROJECT,
            "ECOMMERCE_BIGQUERY_BUCKET": self.google_bucket,
        }

    def client(self, service: str) -> Any:
        """Returns a boto3 client of the local cloud."""
        env = self.user_environment()
        url = env.get(f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}", env["AWS_ENDPOINT_URL"])
        return self._session.client(service, endpoint_url=url)

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
        url = f"postgresql+psycopg:///airflow?host={self.run}&user=postgres"
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
                "ECOMMERCE_REDSHIFT_STATEMENT_URL": f"{self.redshift_url}/statements/{{statement_id}}",
                "ECOMMERCE_QUICKSIGHT_DATA_SET_URL": f"{self.quicksight_url}/data-sets/{{data_set_id}}",
                "ECOMMERCE_GLUE_TABLE_URL": f"{self.glue_url}/tables/{{database}}.{{table}}",
                # MiniStack: loopback only, no listeners beside HTTP, state kept.
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(self.cloud_port),
                "EDGE_PORT": str(self.cloud_port),
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
                # Airflow
                "AIRFLOW_HOME": str(self.airflow_home),
                # On AWS each stage has a role. Here each has at least an access key, which identifies the stage of a
                # call.
                "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
                **{
                    f"AIRFLOW_CONN_AWS_{stage.upper()}": f"aws://{stage}:local@/?region_name={REGION}"
                    for stage in STAGES
                },
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
                "AIRFLOW__API__PORT": str(self.airflow_port),
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
        )
