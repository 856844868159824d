"""All settings of the pipeline. The only module that reads the environment.

Every field is an environment variable `ECOMMERCE_<FIELD>`; endpoints and credentials are boto3's own variables.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
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

    include_dir: Path = PROJECT_DIR / "include"
    work_dir: Path = Field(
        default=Path(tempfile.gettempdir()), description="Where a cleaning task spills to; it needs 3 x a batch."
    )

    load_events_schedule: str = Field(default="@continuous", description="`@continuous`, or a cron expression.")
    load_events_idle_minutes: int = Field(
        default=60, ge=1, description="A run that saw no new object for this long ends as skipped; the next one starts."
    )
    poll_interval_seconds: Annotated[float, Field(gt=0)] = 5.0
    open_batch_retry_seconds: Annotated[float, Field(ge=0)] = 300.0
    batch_max_objects: int = Field(default=1000, ge=1, description="Raw objects in one run, over all feeds.")
    batch_max_bytes: int = Field(default=64 * 1024**2, ge=1, description="Packed bytes of raw objects in one run.")
    task_retries: int = Field(default=3, ge=0)
    task_retry_delay_seconds: Annotated[float, Field(gt=0)] = 5.0

    clean_memory_bytes: int = Field(
        default=512 * 1024**2, ge=64 * 1024**2, description="What DuckDB may hold; it spills the rest to work_dir."
    )
    clean_threads: int = Field(default=2, ge=1)
    pii_hmac_key: SecretStr = Field(min_length=16, description="Key of the HMAC of personal columns. Never change it.")

    @property
    def sql_dir(self) -> Path:
        return self.include_dir / "sql"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Returns the settings of this process.

    Raises:
        pydantic.ValidationError: names every variable that is missing or malformed.
    """
    return Settings()  # type: ignore[call-arg]  # filled from the environment
