"""Google's Storage Transfer Service, which copies an export's files in place of a worker. See docs/adr/0043.

It is called by REST through google-auth: https://cloud.google.com/storage-transfer/docs/reference/rest/v1. The name of
a job has the id of the export. A retried task therefore finds its job and waits for the running operation.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from ecommerce_elt.bigquery.exports import UNLOADED
from ecommerce_elt.bigquery.place import Place
from ecommerce_elt.bigquery.statements import explained_errors
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.settings import Settings

log = logging.getLogger(__name__)

SERVICE = "https://storagetransfer.googleapis.com/v1"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"  # the service has no narrower scope
POLL_SECONDS = 5.0  # even a small transfer takes a minute or more
LONGEST_SECONDS = 1500
REQUEST_SECONDS = 60
NOT_FOUND, CONFLICT = 404, 409
TRANSIENT = {408, 429, 500, 502, 503, 504}


def job_name(where: Place, export_id: str) -> str:
    """Returns the name of an export's transfer job."""
    return f"transferJobs/{where.prefix}-{export_id}"


def job(where: Place, settings: Settings, export_id: str) -> dict[str, Any]:
    """Returns the transfer job of an export for `transferJobs.create`. Without a schedule, it runs only on request."""
    source = {
        "bucketName": settings.bucket,
        "path": f"{UNLOADED}{export_id}/",
        "roleArn": settings.bigquery_transfer_role_arn,
    }
    return {
        "name": job_name(where, export_id),
        "projectId": where.project,
        "description": f"export {export_id} of the warehouse",
        "status": "ENABLED",
        "transferSpec": {
            "awsS3DataSource": source,
            "gcsDataSink": {"bucketName": where.bucket, "path": f"{export_id}/"},
            "transferOptions": {"overwriteWhen": "DIFFERENT"},
        },
    }


def transfer(session: Any, where: Place, settings: Settings, export_id: str) -> str:
    """Copies the files of an export, waits for the end, and returns the name of the operation. Idempotent.

    Args:
        session: an AuthorizedSession of google-auth, or an object with the same `request` method.
        where: the location of the tables.
        settings: the settings.
        export_id: the id of the export.

    Raises:
        TransientError: Google does not answer, or the transfer has not ended in time.
        PermanentError: Google refused the request or could not copy the files. The message has Google's reason.
    """
    name, project = job_name(where, export_id), where.project
    _ask(session, "POST", "transferJobs", json=job(where, settings, export_id), allowed=CONFLICT)
    known = _ask(session, "GET", name, params={"projectId": project})
    operation: dict[str, Any] = {}
    if latest := known.get("latestOperationName"):
        operation = _ask(session, "GET", latest)
    if not operation or "error" in operation or _status(operation) in {"FAILED", "ABORTED"}:
        operation = _ask(session, "POST", f"{name}:run", json={"projectId": project})
    begun = time.monotonic()
    while not operation.get("done"):
        if time.monotonic() - begun > LONGEST_SECONDS:
            raise TransientError(
                f"{operation['name']} has not ended after {LONGEST_SECONDS} s; another try goes on waiting for it"
            )
        time.sleep(POLL_SECONDS)
        operation = _ask(session, "GET", operation["name"])
    if "error" in operation or _status(operation) != "SUCCESS":
        what = operation.get("error", {}).get("message") or _breakdown(operation) or _status(operation)
        raise PermanentError(
            f"Storage Transfer Service could not copy export {export_id}: {what}. docs/runbooks/bigquery-differs.md"
        )
    log.info("operation=%s counters=%s", operation["name"], operation.get("metadata", {}).get("counters"))
    return str(operation["name"])


def forget(session: Any, where: Place, export_id: str) -> None:
    """Deletes the transfer job of an export. A missing job is not an error."""
    _ask(session, "DELETE", job_name(where, export_id), params={"projectId": where.project}, allowed=NOT_FOUND)


def _status(operation: dict[str, Any]) -> str:
    return str(operation.get("metadata", {}).get("status", ""))


def _breakdown(operation: dict[str, Any]) -> str:
    """Returns the codes and counts of failed copies, without keys, which are long (but not secret)."""
    errors = operation.get("metadata", {}).get("errorBreakdowns", [])
    return ", ".join(f"{error.get('errorCode')} {error.get('errorCount')}" for error in errors)


def _ask(session: Any, method: str, path: str, allowed: int = 0, **more: Any) -> dict[str, Any]:
    with explained_errors():
        try:
            answer = session.request(method, f"{SERVICE}/{path}", timeout=REQUEST_SECONDS, **more)
        except OSError as error:  # errors of requests: no connection, or no answer in time
            raise TransientError(f"Storage Transfer Service does not answer: {type(error).__name__}") from error
    if answer.status_code == allowed:
        return {}
    if answer.status_code >= 400:
        text = (
            f"Storage Transfer Service refused {method} {path.split('/')[0]}: {answer.status_code} {_message(answer)}"
        )
        raise (TransientError if answer.status_code in TRANSIENT else PermanentError)(text)
    return dict(answer.json())


def _message(answer: Any) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return str(answer.reason)
