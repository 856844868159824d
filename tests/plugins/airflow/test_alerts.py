"""Alerts reach who is subscribed to the topic."""

import json

import boto3
import pytest
from ecommerce_elt.airflow import alerts
from ecommerce_elt.errors import PermanentError

from local.supervision import wait_for
from tests.conftest import PROJECT

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


@pytest.fixture
def variables(monkeypatch):
    """Airflow's variables, which only a running task can reach: tests/e2e has the real ones."""
    kept = {}

    class Variables:
        get = staticmethod(lambda key, default: kept.get(key, default))
        set = staticmethod(lambda key, value, description: kept.__setitem__(key, value))
        delete = staticmethod(kept.pop)

    monkeypatch.setattr(alerts, "Variable", Variables)
    return kept


def test_one_alert_when_it_begins_and_one_when_it_is_over(clients, inbox, config, variables):
    settings = config.model_copy(update={"alerts_topic_arn": TOPIC})
    for active in (False, True, True, True, False, False, True):
        alerts.update(clients["sns"], settings, "quarantine of purchases", "many events", "why", active=active)
    got = []
    wait_for(lambda: got.extend(inbox()) or len(got) == 3, 20, "the alerts")
    assert sorted(m["Subject"] for m in got) == ["Over: quarantine of purchases", "many events", "many events"]
    assert list(variables) == ["alert: quarantine of purchases"]


def test_an_alert_that_could_not_be_sent_is_not_remembered(config, variables):
    class Broken:
        def publish(self, **_):
            raise ConnectionError

    settings = config.model_copy(update={"alerts_topic_arn": TOPIC})
    with pytest.raises(ConnectionError):
        alerts.update(Broken(), settings, "x", "x", "x", active=True)
    assert variables == {}


def test_a_failed_task_is_told_with_all_that_one_needs(config, variables, monkeypatch):
    sent = []
    monkeypatch.setattr(alerts, "settings", lambda: config.model_copy(update={"alerts_topic_arn": TOPIC}))
    monkeypatch.setattr(alerts.SnsNotifier, "notify", lambda self, context: sent.append((self.subject, self.message)))

    class Task:
        map_index_template = "{{ feed }}"
        batch_id = "purchases-20260101T000000Z-0123456789abcdef"
        render_template = staticmethod(lambda template, context: context["feed"])

    class Instance:
        dag_id, task_id, run_id, task = "load_events", "load_batch", "run 1", Task()
        log_url = "https://airflow.example/dags/load_events/runs/1"

    context = {"ti": Instance(), "feed": "purchases", "exception": PermanentError("line 3\nis  wrong " + "x" * 1000)}
    alerts.FailureAlert("aws_load").notify(context)
    alerts.FailureAlert("aws_load").notify(context)
    alerts.RecoveryNotice("aws_load").notify(context)
    alerts.RecoveryNotice("aws_load").notify(context)
    [(subject, text), (over, _)] = sent
    assert (subject, over) == (
        "Failed: load_events.load_batch purchases",
        "Over: load_events.load_batch purchases",
    )
    assert text.splitlines()[:6] == [
        "DAG: load_events",
        "Task: load_batch",
        "Run: run 1",
        "Feed: purchases",
        f"Batch: {Task.batch_id}",
        f"Error: {('line 3 is wrong ' + 'x' * 1000)[:500]}",
    ]
    assert "What to do: https://airflow.example/ecommerce/runbooks/loading-fails" in text


def test_every_runbook_that_an_alert_names_is_there():
    for page in alerts.RUNBOOKS.values():
        assert (PROJECT / f"docs/runbooks/{page}.md").is_file(), page


def test_deadlines_need_a_topic(config, monkeypatch):
    assert alerts.deadline("marts", 30) is None
    monkeypatch.setattr(alerts, "settings", lambda: config.model_copy(update={"alerts_topic_arn": TOPIC}))
    made = alerts.deadline("marts", 30)
    assert made.interval.total_seconds() == 1800
    assert made.callback.kwargs["aws_conn_id"] == "aws_marts"
