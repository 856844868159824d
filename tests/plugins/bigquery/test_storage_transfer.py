"""What is asked of Google's Storage Transfer Service, by its own types, and what becomes of its answers."""

import pytest
import requests
from ecommerce_elt.bigquery import storage_transfer
from ecommerce_elt.bigquery.tables import Place
from ecommerce_elt.errors import PermanentError, TransientError
from google.cloud.storage_transfer_v1 import types
from google.protobuf.json_format import ParseError

from tests.support.transfer_service import TransferService, judged

WHERE = Place("my-project-1", "ecommerce", "my-bucket")
EXPORT = "7d5b4d3e-0f4d-4a53-a3b7-6b1d3f1f6d55"
ROLE = "arn:aws:iam::123456789012:role/ecommerce-google-transfer"


@pytest.fixture
def settings(config, monkeypatch):
    monkeypatch.setattr(storage_transfer, "POLL_SECONDS", 0)
    return config.model_copy(update={"bigquery_transfer_role_arn": ROLE, "bucket": "lake"})


def test_googles_types_take_the_job(settings):
    job = judged(types.TransferJob, storage_transfer.job(WHERE, settings, EXPORT))
    spec = job.transfer_spec
    assert (job.name, job.project_id) == (f"transferJobs/ecommerce-{EXPORT}", "my-project-1")
    assert job.status == types.TransferJob.Status.ENABLED
    assert (spec.aws_s3_data_source.bucket_name, spec.aws_s3_data_source.path) == ("lake", f"bigquery/{EXPORT}/")
    assert spec.aws_s3_data_source.role_arn == ROLE
    assert (spec.gcs_data_sink.bucket_name, spec.gcs_data_sink.path) == ("my-bucket", f"{EXPORT}/")
    assert spec.transfer_options.overwrite_when == types.TransferOptions.OverwriteWhen.DIFFERENT
    assert not job.schedule  # it runs when it is told to
    with pytest.raises(ParseError):  # so the types do refuse
        judged(types.TransferJob, {"projectID": "my-project-1"})


def test_a_repeated_task_finds_its_job_and_waits_for_what_runs(settings):
    service, copied = TransferService(), []
    service.copy = copied.append
    first = storage_transfer.transfer(service, WHERE, settings, EXPORT)
    assert storage_transfer.transfer(service, WHERE, settings, EXPORT) == first
    assert len(copied) == 1
    assert service.asked[:4] == [
        "POST transferJobs",
        "GET transferJobs",
        "POST transferJobs:run",
        "GET transferOperations",
    ]
    for _ in range(2):
        storage_transfer.forget(service, WHERE, EXPORT)
    assert service.jobs == {}


def test_a_transfer_that_failed_is_red_and_another_try_runs_it_again(settings):
    service, copied = TransferService(), []
    service.copy, service.status = copied.append, "FAILED"
    with pytest.raises(PermanentError, match=f"could not copy export {EXPORT}: FAILED"):
        storage_transfer.transfer(service, WHERE, settings, EXPORT)
    service.status = "SUCCESS"
    storage_transfer.transfer(service, WHERE, settings, EXPORT)
    assert len(copied) == 2


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (
            (403, {"error": {"message": "Caller lacks storagetransfer.jobs.create"}}),
            PermanentError,
            "refused POST transferJobs: 403 Caller",
        ),
        ((503, {}), TransientError, "refused POST transferJobs: 503"),
        (
            requests.ConnectionError("https://storagetransfer.googleapis.com"),
            TransientError,
            "does not answer: ConnectionError",
        ),
    ],
    ids=["no_right", "busy", "not_reachable"],
)
def test_errors_say_what_google_said(settings, given, error, says):
    with pytest.raises(error, match=says):
        storage_transfer.transfer(TransferService(answers=[given]), WHERE, settings, EXPORT)


def test_what_does_not_end_is_a_transient_error(settings, monkeypatch):
    monkeypatch.setattr(storage_transfer, "LONGEST_SECONDS", -1)
    with pytest.raises(TransientError, match="transferOperations/0 has not ended"):
        storage_transfer.transfer(TransferService(), WHERE, settings, EXPORT)
