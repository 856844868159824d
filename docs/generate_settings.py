"""Writes the tables of docs/settings.md from the settings; `--check` fails where the page is not what they say."""

from __future__ import annotations

import sys
from pathlib import Path

from ecommerce_elt.settings import PROJECT_DIR, FileLimits, Settings
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from local.stack import LOCAL_PACE

PAGE = PROJECT_DIR / "docs" / "settings.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"
# Title of a table to the beginnings of its variables' names. A variable is in the first table that it fits.
TABLES = {
    "Names of resources": (
        "bucket",
        "raw_objects_queue",
        "workgroup",
        "database",
        "copy_role",
        "stack_prefix",
        "alerts_topic_arn",
        "lake_database",
        "athena_workgroup",
    ),
    "Loading": ("load_events", "poll_interval", "open_batch", "batch_", "task_"),
    "Cleaning": ("clean_", "spill_", "work_dir", "glue_threshold", "glue_poll"),
    "Personal data": ("pii_",),
    "Landed files": ("landing_", "history_"),
    "The lake": (
        "catalog_",
        "crawler_",
        "maintain_",
        "compact_",
        "lake_grace",
        "retention_",
        "check_results",
        "quarantine_",
    ),
    "Marts and dashboards": ("marts_", "dashboard_", "tableau_"),
    "BigQuery": ("bigquery_",),
    "Forecasts and data sets for learning": ("forecast_", "features_"),
    "Reconciliation": ("reconcile_", "stuck_", "consumer_"),
    "Links and folders": ("",),
}


def shown(value: object) -> str:
    """Returns a default as it is written in an environment variable, for a cell of a table."""
    match value:
        case SecretStr() | "" | None:
            return "none"
        case Path() if value.is_relative_to(PROJECT_DIR):
            return f"`{value.relative_to(PROJECT_DIR)}`"
        case Path():
            return "the temporary folder"
        case dict() | list():
            return f"`{str(value).replace(chr(39), chr(34))}`"
        case str() if value.startswith("https://"):
            return "the console of AWS"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def row(prefix: str, name: str, field: FieldInfo) -> str:
    """Returns the row of a setting.

    Raises:
        SystemExit: it has no description.
    """
    if not field.description:
        raise SystemExit(f"settings.py: {name} has no description; expected Field(description=...)")
    variable = f"{prefix}{name.upper()}"
    default = "required" if field.is_required() else shown(field.default)
    return f"| `{variable}` | {default} | {LOCAL_PACE.get(variable, '')} | {field.description} |\n".replace(
        "|  |", "| |"
    )


def table(title: str, model: type[BaseModel], names: list[str], preamble: str = "") -> str:
    prefix = str(model.model_config.get("env_prefix", ""))
    head = f"## {title}\n{preamble}| variable | default | locally | meaning |\n|---|---|---|---|\n"
    return head + "".join(row(prefix, name, model.model_fields[name]) for name in names) + "\n"


def tables() -> str:
    left = list(Settings.model_fields)
    text = ""
    for title, beginnings in TABLES.items():
        names = [name for name in left if name.startswith(beginnings)]
        left = [name for name in left if name not in names]
        text += table(title, Settings, names)
    preamble = (
        "What a file may ask of the machine that reads it, in `landing/` and by the producer. "
        "A file within the defaults takes less than 1 GB of memory.\n\n"
    )
    return text + table("Limits of files", FileLimits, list(FileLimits.model_fields), preamble)


def main() -> None:
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    wanted = f"{before}{BEGIN}\n{tables()}{END}{after}"
    if "--check" in sys.argv:
        if wanted != text:
            raise SystemExit("docs/settings.md is not what settings.py says; run: make docs")
    else:
        PAGE.write_text(wanted)


if __name__ == "__main__":
    main()
