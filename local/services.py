"""The services of the local cloud that have a port, in one table from which everything that names a port follows."""

from __future__ import annotations

from dataclasses import dataclass

GOOGLE_PROJECT = "ecommerce-local"


@dataclass(frozen=True)
class Service:
    """One listener on 127.0.0.1.

    Attributes:
        name: the part that listens, in supervisord and in docker-compose.yaml, except for airflow and redshift-pg.
        port: the port by default.
        what: what listens.
        clients: the environment variables from which clients take its URL.
        health: the path that answers 200 when the part is ready, or empty if readiness is found out in another way.
        extra: the word of WITH that starts the service; empty if it always runs.
    """

    name: str
    port: int
    what: str
    clients: tuple[str, ...] = ()
    health: str = ""
    extra: str = ""

    @property
    def variable(self) -> str:
        """The environment variable of the port."""
        return f"{self.name.upper().replace('-', '_')}_PORT"


SERVICES = (
    Service("airflow", 8080, "Airflow's UI and API"),
    Service("cloud", 4566, "S3, Kinesis, Lambda and the rest of AWS", ("AWS_ENDPOINT_URL",), "/_ministack/health"),
    Service("redshift", 4567, "Redshift's Data API", ("AWS_ENDPOINT_URL_REDSHIFT_DATA",), "/health"),
    Service("firehose", 4568, "Firehose", ("AWS_ENDPOINT_URL_FIREHOSE",), "/health"),
    Service("dynamodb", 4569, "DynamoDB", ("AWS_ENDPOINT_URL_DYNAMODB",), "/_ministack/health"),
    Service("quicksight", 4570, "QuickSight", ("AWS_ENDPOINT_URL_QUICKSIGHT",), "/health"),
    Service("glue", 4571, "Glue and Athena", ("AWS_ENDPOINT_URL_GLUE", "AWS_ENDPOINT_URL_ATHENA"), "/health"),
    Service(
        "bigquery",
        4572,
        "BigQuery",
        ("BIGQUERY_EMULATOR_HOST",),
        f"/bigquery/v2/projects/{GOOGLE_PROJECT}/datasets",
        extra="bigquery",
    ),
    Service(
        "cloud-storage",
        4573,
        "Google Cloud Storage",
        ("STORAGE_EMULATOR_HOST",),
        f"/storage/v1/b?project={GOOGLE_PROJECT}",
        extra="bigquery",
    ),
    Service("redshift-pg", 5439, "Redshift for psql, JDBC, BI tools and dbt"),
)
DEFAULT_PORTS = {service.name: service.port for service in SERVICES}
EXTRAS = tuple(sorted({service.extra for service in SERVICES if service.extra}))  # make up WITH=bigquery
