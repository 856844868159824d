"""How a task becomes the service account in Google Cloud: by its role on AWS, without a key."""

import json
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from ecommerce_elt.bigquery import google_clients
from ecommerce_elt.errors import PermanentError
from google.auth.credentials import AnonymousCredentials

from infra.airflow_environment import of_bigquery

OUTPUTS = {
    "BigqueryProject": "my-project-1",
    "BigqueryBucket": "b-export",
    "BigqueryDataset": "ecommerce",
    "BigqueryLocation": "EU",
    "BigqueryProvider": "projects/42/locations/global/workloadIdentityPools/ecommerce-aws/providers/aws-account",
    "BigqueryServiceAccount": "ecommerce-export@my-project-1.iam.gserviceaccount.com",
}


class Session:
    """A boto3 session with the rights of a role."""

    region_name = "eu-central-1"

    def get_credentials(self):
        keys = SimpleNamespace(access_key="AKIDROLE", secret_key="secret", token="session token")
        return SimpleNamespace(get_frozen_credentials=lambda: keys)


class Google:
    """Answers as Google's token service and its impersonation, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, url, method="GET", headers=None, body=None, **_):
        self.asked.append((url, headers, body))
        if url.startswith("https://sts."):
            answer = {
                "access_token": "federated",
                "token_type": "Bearer",
                "expires_in": 3600,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }
        else:
            answer = {"accessToken": "of the account", "expireTime": "2030-01-01T00:00:00Z"}
        return SimpleNamespace(status=200, data=json.dumps(answer).encode(), headers={})


def extra():
    return json.loads(of_bigquery(OUTPUTS)["AIRFLOW_CONN_GCP_BIGQUERY"])["extra"]


def connected(monkeypatch, extra_dejson):
    def get(conn_id):
        assert conn_id == "gcp_bigquery"
        if extra_dejson is None:
            raise AirflowNotFoundException(conn_id)
        return SimpleNamespace(extra_dejson=extra_dejson)

    monkeypatch.setattr(Connection, "get", staticmethod(get))


def test_the_role_signs_for_itself_and_becomes_the_account(monkeypatch):
    connected(monkeypatch, extra())
    monkeypatch.setattr(google_clients, "_session", Session)
    credentials, google = google_clients.credentials(), Google()
    credentials.refresh(google)
    assert credentials.token == "of the account"
    (sts, _, body), (impersonation, headers, _) = google.asked
    assert sts == "https://sts.googleapis.com/v1/token"
    asked = parse_qs(body.decode())
    assert asked["audience"] == [f"//iam.googleapis.com/{OUTPUTS['BigqueryProvider']}"]
    signed = json.loads(unquote(asked["subject_token"][0]))
    assert signed["url"].startswith("https://sts.eu-central-1.amazonaws.com?Action=GetCallerIdentity")
    given = {header["key"].lower(): header["value"] for header in signed["headers"]}
    assert given["x-amz-security-token"] == "session token"
    assert "AKIDROLE" in given["authorization"]
    assert given["x-goog-cloud-target-resource"] == asked["audience"][0]
    assert impersonation.endswith(f"/{OUTPUTS['BigqueryServiceAccount']}:generateAccessToken")
    assert headers["authorization"] == "Bearer federated"


def test_the_configuration_may_be_a_file(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(extra()["credential_config_file"]))
    connected(monkeypatch, {"credential_config_file": str(tmp_path / "config.json")})
    monkeypatch.setattr(google_clients, "_session", Session)
    google = Google()
    google_clients.credentials().refresh(google)
    assert len(google.asked) == 2


def test_without_a_configuration_nobody_is_let_in(monkeypatch):
    connected(monkeypatch, {"keyfile_dict": {"private_key": "x"}})
    with pytest.raises(PermanentError, match="keys of service accounts are not taken"):
        google_clients.credentials()
    connected(monkeypatch, {"credential_config_file": {"type": "service_account"}})
    monkeypatch.setattr(google_clients, "_session", Session)
    with pytest.raises(PermanentError, match="type external_account, not service_account"):
        google_clients.credentials()
    connected(monkeypatch, {"is_anonymous": True})
    assert isinstance(google_clients.credentials(), AnonymousCredentials)


def test_without_a_connection_application_default_credentials_count(monkeypatch):
    connected(monkeypatch, None)
    monkeypatch.setattr("google.auth.default", lambda scopes: (f"default for {len(scopes)}", None))
    assert google_clients.credentials() == "default for 2"
