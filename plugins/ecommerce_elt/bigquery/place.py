"""The location of the exported tables: project, data sets and bucket."""

from __future__ import annotations

from dataclasses import dataclass

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import Settings

CLAIM = "claim"


@dataclass(frozen=True)
class Place:
    """The location of the tables: project, data sets and bucket.

    Args:
        project: the Google Cloud project.
        prefix: the prefix of the data sets `<prefix>_core`, `<prefix>_mart`, `<prefix>_bi` (views for BI tools) and
            `<prefix>_staging` (staged tables).
        bucket: the bucket in Cloud Storage.
    """

    project: str
    prefix: str
    bucket: str

    def table(self, name: str) -> str:
        """Returns the name in BigQuery of a table of the warehouse."""
        schema, _, table = name.partition(".")
        return f"{self.project}.{self.prefix}_{schema}.{table}"

    def staged(self, name: str, export_id: str) -> str:
        """Returns the name of the staged table into which an export loads a table."""
        return f"{self.staging}.{name.replace('.', '_')}_{export_id.replace('-', '')}"

    @property
    def staging(self) -> str:
        """The data set of staged tables."""
        return f"{self.project}.{self.prefix}_staging"

    @property
    def claim(self) -> str:
        return f"{self.staging}.{CLAIM}"


def place(settings: Settings) -> Place | None:
    """Returns the location of the tables; None if no project is set, in which case nothing is exported."""
    if not settings.bigquery_project:
        return None
    if not settings.bigquery_bucket:
        raise PermanentError(
            "ECOMMERCE_BIGQUERY_PROJECT is set and ECOMMERCE_BIGQUERY_BUCKET is not: expected the bucket in Cloud "
            "Storage that infra/gcp/setup.sh made, docs/bigquery.md"
        )
    return Place(settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_bucket)
