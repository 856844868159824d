"""The file of an environment, infra/stages/<name>.yaml."""

from __future__ import annotations

import yaml
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import PROJECT_DIR, Settings
from pydantic import BaseModel, Field, ValidationError

from infra.stacks import STACKS, TEMPLATES

STAGES = TEMPLATES / "stages"


class BigQuery(BaseModel, extra="forbid"):
    """The resources that infra/gcp/setup.sh created, with the values that it prints."""

    project: str = Field(pattern=r"^[a-z0-9:.-]{6,63}$")
    bucket: str = Field(pattern=r"^[a-z0-9._-]{3,63}$")
    dataset: str = Field(default="ecommerce", pattern=r"^[A-Za-z0-9_]{1,100}$")
    location: str = "EU"
    provider: str = Field(
        pattern=r"^projects/\d+/locations/global/workloadIdentityPools/[a-z0-9-]{4,32}/providers/[a-z0-9-]{4,32}$"
    )
    service_account: str = Field(pattern=r"^[a-z0-9-]{6,30}@[a-z0-9.-]+\.iam\.gserviceaccount\.com$")
    # Subject of Google's Storage Transfer Service in the project. If it is empty, the task copies the files itself.
    transfer_subject: str = Field(default="", pattern=r"^[0-9]{0,30}$")

    def outputs(self) -> dict[str, str]:
        """Returns the values for the environment of Airflow, in the form of stack outputs."""
        words = self.model_dump()
        return {f"Bigquery{''.join(word.title() for word in name.split('_'))}": value for name, value in words.items()}


class Stage(BaseModel, extra="forbid"):
    """The content of a file of infra/stages/."""

    prefix: str
    without: list[str] = []
    events_per_second: float = 100
    parameters: dict[str, str] = {}
    settings: dict[str, str] = {}
    bigquery: BigQuery | None = None

    @property
    def stacks(self) -> list[str]:
        return [stack for stack in STACKS if stack not in self.without]


def load_stage(name: str) -> Stage:
    """Returns the stage.

    Raises:
        PermanentError: there is no such file, or it is invalid.
    """
    path = STAGES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in STAGES.glob("*.yaml")))
        raise PermanentError(f"no stage {name!r}; there are {known}. A new one is a file of infra/stages/")
    try:
        stage = Stage(**yaml.safe_load(path.read_text("utf-8")))
    except (ValidationError, TypeError, yaml.YAMLError) as error:
        raise PermanentError(f"{path.relative_to(PROJECT_DIR)}: {error}") from error
    variables_known = {f"ECOMMERCE_{name.upper()}" for name in Settings.model_fields}
    if unknown := sorted(set(stage.settings) - variables_known):
        raise PermanentError(
            f"{path.relative_to(PROJECT_DIR)}: settings: {', '.join(unknown)}: docs/settings.md has those that there are"
        )
    if unknown := sorted(set(stage.without) - set(STACKS)):
        raise PermanentError(
            f"{path.relative_to(PROJECT_DIR)}: without: {', '.join(unknown)}: expected {', '.join(STACKS)}"
        )
    return stage
