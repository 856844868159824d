"""Links on a task in the UI to what it used: S3 object, Redshift statement, Glue table, QuickSight data set."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

from airflow.providers.standard.decorators.python import _PythonDecoratedOperator
from airflow.sdk import BaseOperatorLink, get_current_context
from airflow.sdk.execution_time.xcom import XCom

from ecommerce_elt.settings import settings


def _url(form: str, **names: str) -> str:
    from boto3.session import Session

    return form.format(region=Session().region_name, **{name: quote(value) for name, value in names.items()})


class TouchedLink(BaseOperatorLink):
    """A link that a task set with a `touched_` function. Without it, the button is gray."""

    name: ClassVar[str]
    key: ClassVar[str]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return str(XCom.get_value(key=self.key, ti_key=ti_key) or "")


class S3ObjectLink(TouchedLink):
    name = "S3 object"
    key = "s3_object"


class RedshiftStatementLink(TouchedLink):
    name = "Redshift statement"
    key = "redshift_statement"


class GlueTableLink(TouchedLink):
    name = "Glue table"
    key = "glue_table"


class QuickSightDataSetLink(BaseOperatorLink):
    name = "QuickSight data set"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return _url(settings().quicksight_data_set_url, data_set_id=operator.data_set_id)


def touched_object(key: str) -> None:
    """Sets the running task's link to an object of the lake."""
    url = _url(settings().s3_object_url, bucket=settings().bucket, key=key)
    get_current_context()["ti"].xcom_push(key=S3ObjectLink.key, value=url)


def touched_statement(statement_id: str) -> None:
    """Sets the running task's link to a statement."""
    url = _url(settings().redshift_statement_url, workgroup=settings().workgroup, statement_id=statement_id)
    get_current_context()["ti"].xcom_push(key=RedshiftStatementLink.key, value=url)


def touched_table(table: str) -> None:
    """Sets the running task's link to a table of the lake."""
    url = _url(settings().glue_table_url, database=settings().lake_database, table=table)
    get_current_context()["ti"].xcom_push(key=GlueTableLink.key, value=url)


class _LinkedPythonOperator(_PythonDecoratedOperator):
    operator_extra_links = (S3ObjectLink(), RedshiftStatementLink(), GlueTableLink())
