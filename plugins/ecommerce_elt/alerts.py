"""Alerts to people, by an SNS topic."""

from __future__ import annotations

import logging
from typing import Any

from ecommerce_elt.settings import Settings

log = logging.getLogger(__name__)

SUBJECT_MAX = 100  # SNS API reference, Publish, Subject: fewer than 100 ASCII characters, no line breaks


def publish(client: Any, settings: Settings, subject: str, message: str) -> None:
    """Publishes to `alerts_topic_arn`; without one the alert is in the log alone.

    Args:
        client: a boto3 `sns` client.
    """
    log.warning("alert subject=%r message=%r", subject, message)
    if settings.alerts_topic_arn:
        text = " ".join(subject.encode("ascii", "replace").decode().split())
        client.publish(TopicArn=settings.alerts_topic_arn, Subject=text[: SUBJECT_MAX - 1], Message=message)
