"""Clients of Google Cloud that authenticate with the AWS role of a stage.

They use workload identity federation and no key of a service account.

The connection `gcp_bigquery` has the same form as connections of Airflow's Google provider, but the provider is not
needed. Its extra `credential_config_file` is the output of `gcloud iam workload-identity-pools create-cred-config`,
which has no secret. Without the connection, Application Default Credentials are used. Endpoints are set by the clients'
own environment variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from ecommerce_elt.bigquery import storage_transfer
from ecommerce_elt.bigquery.place import Place, place
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import Settings

CONNECTION = "gcp_bigquery"
AWS_CONNECTION = "aws_bigquery"
NOT_SET_UP = "BigQuery is not set up: ECOMMERCE_BIGQUERY_PROJECT is empty, docs/bigquery.md"
SCOPES = ("https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/devstorage.read_write")


def place_or_skip(settings: Settings) -> Place:
    """Returns the location of the tables, or skips the running task if no project is set."""
    where = place(settings)
    if where is None:
        raise AirflowSkipException(NOT_SET_UP)
    return where


def credentials(scopes: Sequence[str] = SCOPES) -> Any:
    """Returns Google credentials for the running task.

    Raises:
        PermanentError: the connection has no credential configuration.
    """
    from google.auth import default
    from google.auth.credentials import AnonymousCredentials

    try:
        extra = Connection.get(CONNECTION).extra_dejson
    except AirflowNotFoundException:
        return default(scopes=scopes)[0]
    if extra.get("is_anonymous"):
        return AnonymousCredentials()
    if "credential_config_file" not in extra:
        raise PermanentError(
            f"connection {CONNECTION}: expected the extra credential_config_file, which infra/gcp/setup.sh prints; "
            "keys of service accounts are not taken"
        )
    config = extra["credential_config_file"]
    found = config if isinstance(config, dict) else orjson.loads(Path(config).read_bytes())
    return federated(found, _session(), scopes)


def _session() -> Any:
    return AwsBaseHook(aws_conn_id=AWS_CONNECTION).get_session()


def federated(config: dict[str, Any], session: Any, scopes: Sequence[str] = SCOPES) -> Any:
    """Returns credentials that exchange those of the AWS session for a token of the configured service account.

    Args:
        config: an `external_account` configuration for AWS.
        session: a boto3 session, whose credentials are read again whenever a token expires.
    """
    from google.auth import aws

    class OfSession(aws.AwsSecurityCredentialsSupplier):
        """Supplies the session's credentials, because Google's library supports only those of variables and EC2."""

        def get_aws_security_credentials(self, context: Any, request: Any) -> Any:
            now = session.get_credentials().get_frozen_credentials()
            return aws.AwsSecurityCredentials(now.access_key, now.secret_key, now.token)

        def get_aws_region(self, context: Any, request: Any) -> str:
            return str(session.region_name)

    if config.get("type") != "external_account":
        raise PermanentError(
            f"connection {CONNECTION}: expected a configuration of type external_account, not {config.get('type')}"
        )
    without_source = {name: value for name, value in config.items() if name != "credential_source"}
    return aws.Credentials.from_info(without_source, aws_security_credentials_supplier=OfSession(), scopes=scopes)


def bigquery(where: Place, settings: Settings) -> Any:
    """Returns a client of BigQuery."""
    from google.cloud.bigquery import Client

    return Client(where.project, credentials=credentials(), location=settings.bigquery_location)


def bucket(where: Place) -> Any:
    """Returns the bucket in Cloud Storage from which tables are loaded."""
    from google.cloud.storage import Client

    return Client(where.project, credentials=credentials()).bucket(where.bucket)


def transfer_session() -> Any:
    """Returns an HTTP session for Google's Storage Transfer Service."""
    from google.auth.transport.requests import AuthorizedSession

    return AuthorizedSession(credentials([storage_transfer.SCOPE]))
