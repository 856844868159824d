"""All settings of the pipeline. The only module that reads the environment.

Every field is an environment variable `ECOMMERCE_<FIELD>`; endpoints and credentials are boto3's own variables.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_DIR = Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ECOMMERCE_", frozen=True)

    bucket: str = Field(description="The lake: raw/, clean/, quarantine/, manifests/.")
    raw_objects_queue: str = Field(
        default="ecommerce-raw-objects", description="Name of the SQS queue of new raw objects."
    )

    workgroup: str = "ecommerce"
    database: str = "ecommerce"
    copy_role: str = Field(
        default="default",
        pattern=r"^(default|arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+)$",
        description="IAM role of COPY: an ARN, or `default` for the workgroup's default role.",
    )

    alerts_topic_arn: str = Field(default="", description="SNS topic of alerts; empty sends none.")

    s3_object_url: str = Field(
        default="https://{region}.console.aws.amazon.com/s3/object/{bucket}?region={region}&prefix={key}",
        description="Where a task's link to an S3 object leads.",
    )
    redshift_statement_url: str = Field(
        default="https://{region}.console.aws.amazon.com/redshiftv2/home?region={region}"
        "#/serverless-query-and-database-monitoring?workgroup={workgroup}&statement={statement_id}",
        description="Where a task's link to a Redshift statement leads: the console's query monitoring.",
    )
    glue_table_url: str = Field(
        default="https://{region}.console.aws.amazon.com/glue/home?region={region}"
        "#/v2/data-catalog/tables/view/{table}?database={database}",
        description="Where a task's link to a table of the lake leads.",
    )
    quicksight_data_set_url: str = Field(
        default="https://{region}.quicksight.aws.amazon.com/sn/data-sets/{data_set_id}",
        description="Where a task's link to a QuickSight data set leads.",
    )

    include_dir: Path = PROJECT_DIR / "include"
    work_dir: Path = Field(
        default=Path(tempfile.gettempdir()), description="Where a cleaning task spills to; it needs 3 x a batch."
    )

    lake_database: str = Field(default="ecommerce_lake", description="Of Glue's Data Catalog, with the lake's tables.")
    athena_workgroup: str = "ecommerce"
    catalog_schedule: str = Field(default="0 * * * *", description="When the lake is crawled: a cron expression.")
    crawler_poll_seconds: int = Field(default=15, ge=1)
    glue_threshold_bytes: int = Field(
        default=1024**3, ge=1, description="Batches of more packed bytes than this are cleaned by the Glue job."
    )
    glue_poll_seconds: int = Field(default=15, ge=1)

    landing_poll_seconds: int = Field(default=30, ge=1, description="How often landing/ is looked at for new files.")
    landing_group_bytes: int = Field(
        default=16 * 1024**2, ge=0, description="Landed files of a feed are loaded together up to so many bytes."
    )
    history_object_rows: int = Field(default=25_000, ge=1, description="Rows of a landed file in one raw object.")
    history_batch_rows: int = Field(
        default=600_000, ge=1, description="Rows of a landed file in one batch: what is loaded as a whole."
    )

    maintain_schedule: str = Field(default="30 3 * * *", description="When the lake is compacted: a cron expression.")
    compact_target_bytes: int = Field(default=128 * 1024**2, ge=1024**2, description="Size that compaction aims at.")
    lake_grace_hours: float = Field(
        default=24, ge=0, description="For so long files that were compacted stay, for queries that began before."
    )
    retention_days: dict[str, int] = Field(
        default={"quarantine/feed=": 730, "manifests/": 730},
        description="Prefix to days, as JSON: older objects are deleted. raw/ and landing/ end by the bucket's rules.",
    )
    check_results_days: int = Field(default=90, ge=1, description="For so long ops.check_results keeps passed checks.")
    quarantine_reason_days: int = Field(
        default=730, ge=1, description="For so long ops.quarantine_reason keeps why an event was rejected."
    )

    marts_min_interval_seconds: float = Field(
        default=300, ge=0, description="Least time from a publication of marts to the next build that a load triggers."
    )

    stack_prefix: str = Field(
        default="ecommerce", pattern=r"^[a-z][a-z0-9-]{1,30}$", description="What names in AWS derive from."
    )
    dashboard_refresh_minutes: int = Field(
        default=60, ge=0, description="Least time between two refreshes of a QuickSight data set, which takes 32 a day."
    )
    dashboard_catch_up_cron: str = Field(
        default="0 * * * *",
        description="When data sets are refreshed that were not due when their marts were published.",
    )
    dashboard_poll_seconds: int = Field(
        default=15, ge=1, description="How often a refresh is asked whether it is done."
    )

    tableau_server: str = Field(default="", description="URL of a Tableau server; empty publishes nothing.")
    tableau_site: str = Field(default="", description="Content URL of the site; empty is the default site.")
    tableau_project: str = "E-commerce"
    tableau_token_name: str = Field(default="", description="Name of a personal access token.")
    tableau_token: SecretStr = SecretStr("")

    load_events_schedule: str = Field(
        default="@arrival", description="`@arrival`: whenever raw objects arrive; or a cron expression."
    )
    poll_interval_seconds: Annotated[float, Field(gt=0)] = 5.0
    open_batch_retry_seconds: Annotated[float, Field(ge=0)] = 300.0
    batch_max_objects: int = Field(default=1000, ge=1, description="Raw objects in one run, over all feeds.")
    batch_max_bytes: int = Field(default=64 * 1024**2, ge=1, description="Packed bytes of raw objects in one run.")
    task_retries: int = Field(default=3, ge=0)
    task_retry_delay_seconds: Annotated[float, Field(gt=0)] = 5.0

    reconcile_schedule: str = Field(default="*/15 * * * *", description="When layers are compared: a cron expression.")
    reconcile_settle_minutes: int = Field(
        default=15, ge=0, description="What arrived so long ago must be loaded; later is a difference."
    )
    reconcile_delivery_minutes: int = Field(
        default=60, ge=0, description="What arrived so long ago must be in DynamoDB and delivered by Firehose."
    )
    reconcile_days_a_run: int = Field(
        default=10, ge=0, description="Days that did not change and are compared with core all the same, in turn."
    )
    stuck_batch_minutes: int = Field(default=30, ge=1, description="A batch that is open for longer is a difference.")
    consumer_lag_seconds: int = Field(default=900, ge=1, description="A consumer that is later is a difference.")

    clean_memory_bytes: int = Field(
        default=512 * 1024**2, ge=64 * 1024**2, description="What DuckDB may hold; it spills the rest to work_dir."
    )
    clean_threads: int = Field(default=2, ge=1)
    pii_hmac_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key of the HMAC of personal columns; empty: the value of pii_hmac_secret. Never change it.",
    )
    pii_hmac_secret: str = Field(
        default="ecommerce/pii-hmac-key", min_length=1, description="Name or ARN of the key in Secrets Manager."
    )

    @field_validator("retention_days")
    @classmethod
    def _retention_spares_the_lake(cls, days: dict[str, int]) -> dict[str, int]:
        allowed = ("quarantine/feed=", "manifests/", "firehose/", "athena/")
        if wrong := [prefix for prefix in days if not prefix.startswith(allowed)]:
            raise ValueError(f"{wrong}: expected prefixes of {', '.join(allowed)}. raw/ and landing/ end by the rules of the "
                             "bucket; the files of clean/ belong to the lists in published/")  # fmt: skip
        if any(kept < 1 for kept in days.values()):
            raise ValueError("expected at least 1 day")
        return days

    @property
    def sql_dir(self) -> Path:
        return self.include_dir / "sql"


class FileLimits(BaseSettings):
    """What a file may ask of the machine that reads it. A file within the defaults takes less than 1 GB of memory."""

    model_config = SettingsConfigDict(env_prefix="ECOMMERCE_FILE_", frozen=True)

    row_bytes: int = Field(default=1024**2, ge=1024, description="Of one row, as text; a Kinesis record takes 1 MiB.")
    columns: int = Field(default=1000, ge=1, description="Of a file.")
    unpacked_bytes: int = Field(
        default=20 * 1024**3, ge=1, description="Of a packed file, or of a zip with all its files."
    )
    unpacked_ratio: float = Field(
        default=200, ge=1, description="Unpacked bytes to packed ones, of what unpacks to more than 256 MiB."
    )
    members: int = Field(default=1000, ge=1, description="Files of a zip.")
    sheet_bytes: int = Field(
        default=512 * 1024**2, ge=1, description="Of a sheet's XML; a sheet is in memory as a whole."
    )
    sheet_cells: int = Field(default=10_000_000, ge=1, description="Of a sheet, the empty ones between others counted.")
    sheet_memory_bytes: int = Field(
        default=850 * 1024**2, ge=64 * 1024**2, description="Memory in which a sheet must be read that may need more."
    )
    column_chunk_bytes: int = Field(
        default=256 * 1024**2, ge=1, description="Of one column in one row group of a Parquet file, unpacked."
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
