"""Alerts reach who is subscribed to the topic."""

import json

import boto3
import pytest
from ecommerce_elt import alerts

from local.supervision import wait_for

TOPIC = "arn:aws:sns:us-east-1:000000000000:ecommerce-alerts"


@pytest.fixture
def clients(cloud):
    session = boto3.session.Session("test", "test", region_name="us-east-1")
    return {name: session.client(name, endpoint_url=cloud.cloud_url) for name in ("sns", "sqs")}


@pytest.fixture
def inbox(clients):
    """A queue that is subscribed to the topic; returns what it gets."""
    url = clients["sqs"].create_queue(QueueName="inbox")["QueueUrl"]
    arn = clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = clients["sns"].subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]

    def received():
        found = clients["sqs"].receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]

    yield received
    clients["sns"].unsubscribe(SubscriptionArn=subscription)
    clients["sqs"].delete_queue(QueueUrl=url)


def test_an_alert_reaches_a_subscriber(clients, inbox, config):
    settings = config.model_copy(update={"alerts_topic_arn": TOPIC})
    alerts.publish(clients["sns"], settings, "mart.sales_daily was\nnot published – " + "x" * 200, "why: é")
    got = []
    wait_for(lambda: got.extend(inbox()) or got, 20, "the alert")
    [message] = got
    assert message["Message"] == "why: é"
    # SNS takes fewer than 100 ASCII characters in one line.
    assert message["Subject"].startswith("mart.sales_daily was not published ? xxx")
    assert len(message["Subject"]) < 100


def test_without_a_topic_it_is_in_the_log(clients, inbox, config, caplog):
    alerts.publish(clients["sns"], config.model_copy(update={"alerts_topic_arn": ""}), "subject", "message")
    assert "subject='subject' message='message'" in caplog.text
    assert inbox() == []
