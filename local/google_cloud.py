"""BigQuery and Cloud Storage of the local cloud: emulators in a separate virtual environment, and their content.

bqemulator pins other versions of sqlglot and DuckDB than the product, so it cannot share the product's environment.
`make setup-bigquery` installs it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.services import GOOGLE_PROJECT
from local.stack import PREFIX, PROJECT_DIR

if TYPE_CHECKING:
    from local.stack import Stack

ENVIRONMENT = Path(os.environ.get("ECOMMERCE_BIGQUERY_ENVIRONMENT", PROJECT_DIR / ".venv" / "bigquery"))
LOCATION = "EU"
TIME_TRAVEL_HOURS = 48


def is_installed() -> bool:
    return (ENVIRONMENT / ".ready").exists()


def commands(stack: Stack) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Returns a mapping from each part to its command and environment."""
    emulator = [str(ENVIRONMENT / "bin" / "python"), "-m", "local.google_emulators"]
    project = {"PYTHONPATH": str(PROJECT_DIR)}
    objects = {"STORAGE_BASE": str(stack.state), "STORAGE_DIR": "cloud-storage"}
    bigquery = [
        *emulator,
        "bigquery",
        "start",
        "--project",
        GOOGLE_PROJECT,
        "--rest-port",
        str(stack.ports["bigquery"]),
        "--grpc-port",
        "0",
        "--persistent",
        "--data-dir",
        str(stack.state / "bigquery"),
        "--log-level",
        "warning",
    ]
    storage = [
        *emulator,
        "cloud-storage",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(stack.ports["cloud-storage"]),
    ]
    # bqemulator loads DuckDB's extension `spatial` from the home folder, where the setup put it.
    home = {"HOME": str(ENVIRONMENT), "BQEMU_GCS_LOCAL_ROOT": str(stack.state / "cloud-storage")}
    return {"bigquery": (bigquery, project | home), "cloud-storage": (storage, project | objects)}


def clients(bigquery_url: str, cloud_storage_url: str) -> tuple[Any, Any]:
    """Returns (BigQuery client, Cloud Storage client) of the local cloud."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery, storage

    anonymous = AnonymousCredentials()
    return (
        bigquery.Client(GOOGLE_PROJECT, anonymous, client_options={"api_endpoint": bigquery_url}),
        storage.Client(GOOGLE_PROJECT, anonymous, client_options={"api_endpoint": cloud_storage_url}),
    )


def deploy(bigquery: Any, storage: Any, bucket: str) -> None:
    """Creates the data sets and the bucket, as infra/gcp/setup.sh does in a project. Existing ones are kept."""
    from google.cloud.bigquery import Dataset

    for schema in ("core", "mart", "bi", "staging"):
        dataset = Dataset(f"{GOOGLE_PROJECT}.{PREFIX}_{schema}")
        dataset.location, dataset.max_time_travel_hours = LOCATION, TIME_TRAVEL_HOURS
        bigquery.create_dataset(dataset, exists_ok=True)
    if storage.lookup_bucket(bucket) is None:
        storage.create_bucket(bucket, location=LOCATION)
