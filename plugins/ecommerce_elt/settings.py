"""All settings of the pipeline. The only module that reads the environment.

Every field is an environment variable `ECOMMERCE_<FIELD>`; endpoints and credentials are boto3's own variables. The
module is one table of fields, from which `docs/settings.md` is made, and is therefore not divided.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ecommerce_elt import aws_names

PROJECT_DIR = Path(__file__).resolve().parents[2]
DEMAND_CLASSES = ("smooth", "erratic", "intermittent", "lumpy", "new")  # forecast.panel.CLASSES, of another environment


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ECOMMERCE_", frozen=True)

    bucket: str = Field(
        description="Name of the S3 bucket of the lake, with raw/, clean/, quarantine/, manifests/ and the other "
        "folders.",
    )
    raw_objects_queue: str = Field(
        default="ecommerce-raw-objects",
        description="Name of the SQS queue that S3 notifies of new objects in raw/.",
    )

    workgroup: str = Field(
        default="ecommerce",
        description="Name of the Redshift Serverless workgroup.",
    )
    database: str = Field(
        default="ecommerce",
        description="Name of the database in Redshift.",
    )
    redshift_isolation: Literal["snapshot", "serializable"] = Field(
        default="snapshot",
        description="Isolation level of the database. A workgroup's is `snapshot` unless someone altered it. With "
        "`serializable` the transactions that write follow each other, so that none of them fails.",
    )
    copy_role: str = Field(
        default="default",
        pattern=r"^(default|arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+)$",
        description="IAM role that COPY and UNLOAD assume: an ARN, or `default` for the workgroup's default role.",
    )

    alerts_topic_arn: str = Field(
        default="",
        description="SNS topic for alerts of failed tasks, quarantine, checks and deadlines. Without it no alert "
        "is sent.",
    )

    s3_object_url: str = Field(
        default="https://{region}.console.aws.amazon.com/s3/object/{bucket}?region={region}&prefix={key}",
        description="URL behind a task's link to an S3 object. `{region}`, `{bucket}` and `{key}` are filled in.",
    )
    redshift_statement_url: str = Field(
        default="https://{region}.console.aws.amazon.com/redshiftv2/home?region={region}"
        "#/serverless-query-and-database-monitoring?workgroup={workgroup}&statement={statement_id}",
        description="URL behind a task's link to a Redshift statement: the console's query monitoring. "
        "`{region}`, `{workgroup}` and `{statement_id}` are filled in.",
    )
    glue_table_url: str = Field(
        default="https://{region}.console.aws.amazon.com/glue/home?region={region}"
        "#/v2/data-catalog/tables/view/{table}?database={database}",
        description="URL behind a task's link to a table of the lake. `{region}`, `{database}` and `{table}` are "
        "filled in.",
    )
    quicksight_data_set_url: str = Field(
        default="https://{region}.quicksight.aws.amazon.com/sn/data-sets/{data_set_id}",
        description="URL behind a task's link to a QuickSight data set. `{region}` and `{data_set_id}` are filled in.",
    )

    include_dir: Path = Field(
        default=PROJECT_DIR / "include",
        description="Folder with the contracts of the feeds and the SQL.",
    )
    runbooks_dir: Path = Field(
        default=PROJECT_DIR / "docs" / "runbooks",
        description="Folder with the runbooks that the page in Airflow shows.",
    )
    work_dir: Path = Field(
        default=Path(tempfile.gettempdir()),
        description="Folder that a cleaning task spills to. It needs three times the size of a batch.",
    )

    lake_database: str = Field(
        default="ecommerce_lake",
        description="Database of the Glue Data Catalog that has the lake's tables.",
    )
    athena_workgroup: str = Field(
        default="ecommerce",
        description="Athena workgroup of `catalog_lake`.",
    )
    catalog_schedule: str = Field(
        default="0 * * * *",
        description="Cron expression of `catalog_lake`, which crawls the lake.",
    )
    crawler_poll_seconds: int = Field(
        default=15,
        ge=1,
        description="Seconds between two requests for the state of a crawl.",
    )
    glue_threshold_bytes: int = Field(
        default=1024**3,
        ge=1,
        description="Batches with more packed bytes than this are cleaned by the Glue job instead of in the task.",
    )
    glue_poll_seconds: int = Field(
        default=15,
        ge=1,
        description="Seconds between two requests for the state of a Glue job run.",
    )

    landing_poll_seconds: int = Field(
        default=30,
        ge=1,
        description="Seconds between two listings of landing/.",
    )
    landing_group_bytes: int = Field(
        default=16 * 1024**2,
        ge=0,
        description="Landed files of one feed share a run and a batch up to this many bytes. With 0 each file has "
        "its own.",
    )
    history_object_rows: int = Field(
        default=25_000,
        ge=1,
        description="Rows of a landed file in one raw object.",
    )
    history_batch_rows: int = Field(
        default=600_000,
        ge=1,
        description="Rows of a landed file in one batch, which is loaded in one transaction.",
    )

    maintain_schedule: str = Field(
        default="30 3 * * *",
        description="Cron expression of `maintain_lake`, which compacts the lake and applies retention.",
    )
    compact_target_bytes: int = Field(
        default=128 * 1024**2,
        ge=1024**2,
        description="Size of file that compaction aims at. Files below half of it count as small.",
    )
    lake_grace_hours: float = Field(
        default=24,
        ge=0,
        description="Hours that files which compaction replaced stay, for queries that began before. It must be "
        "longer than any query takes.",
    )
    retention_days: dict[str, int] = Field(
        default={"quarantine/feed=": 730, "manifests/": 730},
        description="Days that objects are kept, by prefix, as JSON. raw/, landing/, athena/, forecast/ and "
        "models/ expire by the lifecycle rules of the bucket.",
    )
    check_results_days: int = Field(
        default=90,
        ge=1,
        description="Days that ops.check_results keeps checks that passed.",
    )
    quarantine_reason_days: int = Field(
        default=730,
        ge=1,
        description="Days that ops.quarantine_reason keeps why an event was rejected. An event that is still open "
        "then is no longer in ops.quarantine.",
    )

    marts_min_interval_seconds: float = Field(
        default=300,
        ge=0,
        description="Least seconds from a publication of marts to the next build that a load triggers. A build "
        "takes up to a minute of the warehouse, which loads need as well. A run that is triggered by "
        "hand does not wait.",
    )

    features_schedule: str = Field(
        default="0 5 * * *",
        description="Cron expression of `export_features`.",
    )
    features_retention_days: int = Field(
        default=90,
        ge=1,
        description="Days that versions in features/ are kept that are not the latest.",
    )

    forecast_python: Path = Field(
        default=PROJECT_DIR / ".venv" / "forecast" / "bin" / "python",
        description="Python with the packages of requirements-forecast.txt (`make setup-forecast`). Where it is "
        "missing, `forecast_demand` is skipped.",
    )
    forecast_task_definition: str = Field(
        default="",
        description="ECS task definition that runs the program instead of a Python of this machine: infra/forecast.yaml.",
    )
    forecast_cluster: str = Field(default="", description="ECS cluster in which that task runs.")
    forecast_subnets: list[str] = Field(
        default=[], description="Subnets of that task, as JSON. It reaches S3 and the image's registry from them."
    )
    forecast_security_groups: list[str] = Field(default=[], description="Security groups of that task, as JSON.")
    forecast_log_group: str = Field(
        default="", description="CloudWatch log group of that task; the last line of its log is shown in Airflow."
    )
    forecast_schedule: str = Field(
        default="0 4 * * *",
        description="Cron expression of `forecast_demand`.",
    )
    forecast_seeds: list[int] = Field(
        default=[1],
        min_length=1,
        description="Seeds of the networks, as JSON. Each is one training, and the forecast is the mean of them.",
    )
    forecast_country: str = Field(
        default="",
        pattern=r"^([A-Z]{2}(-[A-Z0-9]{1,3})?)?$",
        description="Country whose public holidays the forecasts know, by ISO 3166, as GB or GB-ENG: nothing is forecast "
        "for them where the shop was closed on those before. Empty knows none.",
    )
    forecast_lead_days: dict[str, int] = Field(
        default=dict.fromkeys(DEMAND_CLASSES, 7),
        description="Days from an order to its arrival, 1 to 21, as JSON by class of demand: smooth, erratic, "
        "intermittent, lumpy, new.",
    )
    forecast_service_levels: dict[str, float] = Field(
        default={"smooth": 0.98, "erratic": 0.95, "intermittent": 0.95, "lumpy": 0.9, "new": 0.95},
        description="Chance that the stock lasts until an order arrives, from 0.5 to below 1, as JSON by class of "
        "demand.",
    )

    stack_prefix: str = Field(
        default=aws_names.PREFIX,
        pattern=r"^[a-z][a-z0-9-]{1,30}$",
        description="Prefix of the names of all resources in AWS, among them the ids of QuickSight's data sets.",
    )
    dashboard_refresh_minutes: int = Field(
        default=60,
        ge=0,
        description="Least minutes between two refreshes of a QuickSight data set. QuickSight takes 32 a day. A "
        "run that is triggered by hand does not wait.",
    )
    dashboard_catch_up_cron: str = Field(
        default="0 * * * *",
        description="Cron expression of the run that refreshes the data sets which were not due when their marts "
        "were published.",
    )
    dashboard_poll_seconds: int = Field(
        default=15,
        ge=1,
        description="Seconds between two requests for the state of a refresh.",
    )

    bigquery_project: str = Field(
        default="",
        pattern=r"^[a-z0-9:.-]{0,63}$",
        description="Google Cloud project that receives the marts. Without it nothing is exported. See "
        "docs/bigquery.md.",
    )
    bigquery_dataset: str = Field(
        default="ecommerce",
        pattern=r"^[A-Za-z0-9_]{1,100}$",
        description="Prefix of the data sets `<prefix>_mart`, `<prefix>_core`, `<prefix>_bi` and `<prefix>_staging`.",
    )
    bigquery_location: str = Field(
        default="EU",
        description="Location of the data sets and of the bucket.",
    )
    bigquery_bucket: str = Field(
        default="",
        description="Cloud Storage bucket that holds the files for the time of an export.",
    )
    bigquery_transfer_role_arn: str = Field(
        default="",
        description="AWS role that Google's Storage Transfer Service assumes to copy the files of an export. Without it "
        "the task copies them itself.",
    )
    bigquery_facts: bool = Field(
        default=False,
        description="Whether BigQuery gets each feed's fact as well, by day, without personal columns.",
    )
    bigquery_interval_minutes: int = Field(
        default=60,
        ge=0,
        description="Least minutes between two exports that publications of marts begin. A run that is triggered "
        "by hand does not wait.",
    )
    bigquery_catch_up_cron: str = Field(
        default="20 * * * *",
        description="Cron expression of the run that exports what was not due when its marts were published.",
    )

    tableau_server: str = Field(
        default="",
        description="URL of the Tableau server that receives the extract. Without it the extract stays in the lake.",
    )
    tableau_site: str = Field(
        default="",
        description="Content URL of the Tableau site. Empty is the default site.",
    )
    tableau_project: str = Field(
        default="E-commerce",
        description="Name of the Tableau project.",
    )
    tableau_token_name: str = Field(
        default="",
        description="Name of the personal access token for Tableau.",
    )
    tableau_token: SecretStr = Field(
        default=SecretStr(""),
        description="Secret of the personal access token for Tableau.",
    )

    load_events_schedule: str = Field(
        default="@arrival",
        description="Schedule of `load_events`: `@arrival` loads whenever raw objects arrive, a cron expression "
        "at fixed times.",
    )
    poll_interval_seconds: float = Field(
        default=5.0,
        gt=0,
        description="Seconds between two requests for the length of the queue.",
    )
    open_batch_retry_seconds: float = Field(
        default=300.0,
        ge=0,
        description="Seconds after which a later run takes up a batch that is not committed.",
    )
    batch_max_objects: int = Field(
        default=1000,
        ge=1,
        description="Raw objects in one run, over all feeds.",
    )
    batch_max_bytes: int = Field(
        default=64 * 1024**2,
        ge=1,
        description="Packed bytes of raw objects in one run.",
    )
    task_retries: int = Field(
        default=3,
        ge=0,
        description="Retries of each task.",
    )
    task_retry_delay_seconds: float = Field(
        default=5.0,
        gt=0,
        description="Seconds before the first retry of a task. The delay doubles from retry to retry, up to five "
        "minutes.",
    )

    reconcile_schedule: str = Field(
        default="*/15 * * * *",
        description="Cron expression of `reconcile_layers`.",
    )
    reconcile_settle_minutes: int = Field(
        default=15,
        ge=0,
        description="Minutes after its arrival by which an event must be loaded. Later it is reported as a difference.",
    )
    has_delivery: bool = Field(
        default=True,
        description="Whether Firehose delivers invoice lines, which `reconcile_layers` then looks for. Deployments set it by `DeliveryTo`.",
    )
    reconcile_delivery_minutes: int = Field(
        default=60,
        ge=0,
        description="Minutes after its arrival by which an event must be in DynamoDB and delivered by Firehose.",
    )
    reconcile_days_a_run: int = Field(
        default=10,
        ge=0,
        description="Days without a change that a run compares with core all the same, in turn.",
    )
    stuck_batch_minutes: int = Field(
        default=30,
        ge=1,
        description="Minutes after which an open batch is reported as a difference.",
    )
    consumer_lag_seconds: int = Field(
        default=900,
        ge=1,
        description="Seconds that a consumer of the stream may be behind before it is reported as a difference.",
    )

    clean_memory_bytes: int = Field(
        default=512 * 1024**2,
        ge=64 * 1024**2,
        description="Memory that DuckDB may use. It spills the rest to `ECOMMERCE_WORK_DIR`.",
    )
    clean_threads: int = Field(
        default=2,
        ge=1,
        description="Threads of DuckDB in a cleaning task.",
    )
    spill_max_bytes: int | None = Field(
        default=None,
        ge=1024**2,
        description="Bytes that DuckDB may spill in one task. A task that needs more fails and names this "
        "setting. Without it nine tenths of the free disk, on MWAA 2 GiB.",
    )
    pii_hmac_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key of the HMAC of personal columns, 16 to 64 bytes, instead of the secret. Another key "
        "makes other customers: never change it.",
    )
    pii_hmac_secret: str = Field(
        default=aws_names.hmac_secret(),
        min_length=1,
        description="Name or ARN of the secret in Secrets Manager that holds the key of the HMAC. The deployment "
        "creates it.",
    )

    @field_validator("retention_days")
    @classmethod
    def _retention_spares_the_lake(cls, days: dict[str, int]) -> dict[str, int]:
        allowed = ("quarantine/feed=", "manifests/", "firehose/", "athena/")
        if wrong := [prefix for prefix in days if not prefix.startswith(allowed)]:
            raise ValueError(
                f"{wrong}: expected prefixes of {', '.join(allowed)}. raw/ and landing/ end by the rules of the "
                "bucket; the files of clean/ belong to the lists in published/"
            )
        if any(kept < 1 for kept in days.values()):
            raise ValueError("expected at least 1 day")
        return days

    @model_validator(mode="after")
    def _every_class_is_ordered(self) -> Self:
        for name in ("forecast_lead_days", "forecast_service_levels"):
            by_class: dict[str, float] = getattr(self, name)
            if set(by_class) != set(DEMAND_CLASSES):
                raise ValueError(f"{name}: has {sorted(by_class)}; expected each of {', '.join(DEMAND_CLASSES)}")
        if not all(1 <= days <= 21 for days in self.forecast_lead_days.values()):
            raise ValueError(
                f"forecast_lead_days: {self.forecast_lead_days}; expected 1 to 21 days, of 28 that are forecast"
            )
        if not all(0.5 <= level < 1 for level in self.forecast_service_levels.values()):
            raise ValueError(f"forecast_service_levels: {self.forecast_service_levels}; expected from 0.5 to below 1")
        return self

    @property
    def sql_dir(self) -> Path:
        return self.include_dir / "sql"


class FileLimits(BaseSettings):
    """What a file may ask of the machine that reads it. A file within the defaults takes less than 1 GB of memory."""

    model_config = SettingsConfigDict(env_prefix="ECOMMERCE_FILE_", frozen=True)

    row_bytes: int = Field(
        default=1024**2,
        ge=1024,
        description="Characters of one row of a file. A Kinesis record takes 1 MiB.",
    )
    columns: int = Field(
        default=1000,
        ge=1,
        description="Columns of a file, or keys of its records.",
    )
    unpacked_bytes: int = Field(
        default=20 * 1024**3,
        ge=1,
        description="Unpacked bytes of a packed file, or of a zip with all its files.",
    )
    unpacked_ratio: float = Field(
        default=200,
        ge=1,
        description="Unpacked bytes for each packed byte. The ratio counts from 256 MiB on.",
    )
    members: int = Field(
        default=1000,
        ge=1,
        description="Files of a zip.",
    )
    sheet_bytes: int = Field(
        default=512 * 1024**2,
        ge=1,
        description="Bytes of XML in one part of an .xlsx file.",
    )
    sheet_cells: int = Field(
        default=10_000_000,
        ge=1,
        description="Cells of a sheet from the first to the last, empty ones included. A sheet is in memory as a "
        "whole, some 80 bytes a cell.",
    )
    sheet_memory_bytes: int = Field(
        default=850 * 1024**2,
        ge=64 * 1024**2,
        description="Memory in which a workbook is read in a process of its own where its size does not tell what "
        "it takes: .xls, .xlsb, .ods, and an .xlsx with long texts.",
    )
    column_chunk_bytes: int = Field(
        default=256 * 1024**2,
        ge=1,
        description="Unpacked bytes of one column in one row group of a Parquet file.",
    )


@lru_cache(maxsize=1)
def file_limits() -> FileLimits:
    """Returns the limits of files in this process."""
    return FileLimits()


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Returns the settings of this process.

    Raises:
        pydantic.ValidationError: names every variable that is missing or malformed.
    """
    return Settings()  # type: ignore[call-arg]  # filled from the environment
