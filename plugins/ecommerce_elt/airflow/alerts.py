"""Alerts people through an SNS topic: once when a problem begins and once when it is over.

An open alert is an Airflow variable `alert: <cause>`, which is shown under Admin > Variables. If the variable is
deleted, the problem is alerted again.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.amazon.aws.notifications.sns import SnsNotifier
from airflow.sdk import Context, Variable
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from ecommerce_elt.airflow.versions import named
from ecommerce_elt.errors import without_values
from ecommerce_elt.settings import Settings, settings

if TYPE_CHECKING:
    from types_boto3_sns.client import SNSClient

log = logging.getLogger(__name__)

SUBJECT_MAX = 100  # SNS API reference, Publish, Subject: fewer than 100 ASCII characters, no line breaks
ERROR_MAX = 500
# Task id to its page in docs/runbooks. Other tasks link to the list of all pages.
RUNBOOKS = {
    "claim_batches": "nothing-arrives",
    "load_batch": "loading-fails",
    "build_dimensions": "check-failed",
    "build_subject": "check-failed",
    "ingest_data_set": "dashboard-is-behind",
    "extract_for_tableau": "dashboard-is-behind",
    "crawl_raw": "crawler-fails",
    "crawl_clean": "crawler-fails",
    "crawl_quarantine": "crawler-fails",
    "land_files": "bad-file-in-landing",
    "report_files": "bad-file-in-landing",
    "report_differences": "layers-differ",
    "reconcile_feed": "layers-differ",
    "prove_erasure": "erase-a-customer",
    **dict.fromkeys(
        (
            "find_tables",
            "unload_tables",
            "copy_files",
            "load_tables",
            "swap_in",
            "compare_tables",
            "remove_files",
            "reconcile_bigquery",
        ),
        "bigquery-differs",
    ),
    "unload_demand": "forecast-fails",
    "forecast": "forecast-fails",
    "publish_forecast": "forecast-fails",
}


def begins(cause: str) -> bool:
    """Returns whether no alert of the cause is open. Call `mark_open` after the alert is sent."""
    return Variable.get(f"alert: {cause}", default=None) is None


def mark_open(cause: str) -> None:
    """Records that an alert of the cause is open."""
    Variable.set(
        f"alert: {cause}", datetime.now(UTC).isoformat(timespec="seconds"), description="An alert that is open"
    )


def ends(cause: str) -> str | None:
    """Closes the alert of the cause, and returns since when it was open; None if there was none."""
    since: str | None = Variable.get(f"alert: {cause}", default=None)
    if since is not None:
        Variable.delete(f"alert: {cause}")
    return since


def subject_of(text: str) -> str:
    """Returns the text as a subject that SNS accepts."""
    return " ".join(text.encode("ascii", "replace").decode().split())[: SUBJECT_MAX - 1]


def publish(client: SNSClient, config: Settings, subject: str, message: str) -> None:
    """Logs the alert, and publishes it to `alerts_topic_arn` if that is set.

    Args:
        client: a boto3 `sns` client.
        config: the settings.
        subject: the subject.
        message: the text.
    """
    log.warning("alert subject=%r message=%r", subject, message)
    if config.alerts_topic_arn:
        client.publish(TopicArn=config.alerts_topic_arn, Subject=subject_of(subject), Message=message)


def update(client: SNSClient, config: Settings, cause: str, subject: str, message: str, *, active: bool) -> None:
    """Publishes the alert if the cause begins, and its end if the cause ends.

    Args:
        client: a boto3 `sns` client.
        config: the settings.
        cause: the cause, which identifies the alert.
        subject: the subject of the alert.
        message: the text of the alert.
        active: whether the cause exists now.
    """
    if active and begins(cause):
        publish(client, config, subject, message)
        mark_open(cause)
    elif not active and (since := ends(cause)):
        publish(client, config, f"Over: {cause}", f"{cause}: it is over. The alert was sent at {since}.")


class _TaskNotifier(SnsNotifier):
    """Alerts about a task. The cause, such as `load_events.load_batch purchases`, is the same for all its runs."""

    def __init__(self, aws_conn_id: str) -> None:
        super().__init__(aws_conn_id=aws_conn_id, target_arn=settings().alerts_topic_arn, message="", subject="")

    def send(self, context: Context, subject: str, message: str) -> None:
        self.subject, self.message = subject_of(subject), message
        super().notify(context)


def _cause(context: Context) -> str:
    ti: Any = context["ti"]
    template = getattr(ti.task, "map_index_template", None)  # the subject of a mapped task: a feed, a data set
    about = ti.task.render_template(template, context) if template else ""
    return f"{ti.dag_id}.{ti.task_id} {about}".strip()


def _batch(context: Context) -> str:
    task: Any = context["ti"].task
    cleaned = (getattr(task, "op_kwargs", None) or {}).get("cleaned") or {}
    return str(getattr(task, "batch_id", "") or (cleaned.get("batch_id", "") if isinstance(cleaned, dict) else ""))


class FailureAlert(_TaskNotifier):
    """Alerts that a task finally failed, with batch, error and runbook; only once until the task succeeds again."""

    def notify(self, context: Context) -> None:
        cause, ti = _cause(context), context["ti"]
        if not begins(cause):
            return
        raised = context.get("exception")
        why = without_values(raised) if isinstance(raised, BaseException) else raised or "the task was killed"
        error = " ".join(why.split())[:ERROR_MAX]
        lines = {
            "DAG": ti.dag_id,
            "Task": ti.task_id,
            "Run": ti.run_id,
            "Feed": context.get("feed"),
            "Batch": _batch(context),
            "Error": error,
            "Log": ti.log_url,
            "What to do": runbook(ti),
        }
        text = "\n".join(f"{name}: {value}" for name, value in lines.items() if value)
        self.send(context, f"Failed: {cause}", text + "\nNo more of this until it is over.")
        mark_open(cause)


class RecoveryNotice(_TaskNotifier):
    """Notifies that a task of a FailureAlert has succeeded again."""

    def notify(self, context: Context) -> None:
        cause = _cause(context)
        if since := ends(cause):
            run = f"Run: {context['ti'].run_id}"
            self.send(context, f"Over: {cause}", f"{cause} is green again. The alert was sent at {since}.\n{run}")


def runbook(ti: Any) -> str:
    """Returns the URL of the runbook for a failed task instance, a page of Airflow's own server."""
    url = urlsplit(ti.log_url)
    return f"{url.scheme}://{url.netloc}/ecommerce/runbooks/{RUNBOOKS.get(ti.task_id, 'README')}"


def deadline(stage: str, minutes: int) -> DeadlineAlert | None:
    """Returns the alert for runs that have not ended so many minutes after they were queued; None without a topic."""
    if not settings().alerts_topic_arn:
        return None
    message = {
        "aws_conn_id": f"aws_{stage}",
        "target_arn": settings().alerts_topic_arn,
        "subject": "Late: {{ dag_run.dag_id }}",
        "message": f"Run {{{{ dag_run.dag_run_id }}}} of {{{{ dag_run.dag_id }}}} has not ended {minutes} minutes after it was queued.",
    }
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(SnsNotifier, kwargs=message),
        **named(f"{minutes} minutes"),
    )
