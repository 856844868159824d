"""Every alarm of the template fires on the local cloud; what only AWS measures is put by hand."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import cfnlint.decode
import pytest

from infra.stacks import TEMPLATES
from tests.conftest import PROJECT

TOPIC = "arn:aws:sns:us-east-1:000000000000:ecommerce-alerts"
ALARMS = {
    name: resource["Properties"]
    for name, resource in cfnlint.decode.decode(str(TEMPLATES / "monitoring.yaml"))[0]["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}
# Metrics that the local cloud has by itself; the others are AWS's alone, and are put here as AWS would.
MEASURED_HERE = {"IteratorAge", "Errors", "DeliveryToS3.Success", "Differences"}


@pytest.fixture
def clients(cloud):
    return cloud.client("cloudwatch"), cloud.client("sqs"), cloud.client("sns")


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_it_fires_once(name, clients):
    cloudwatch, sqs, sns = clients
    alarm_name = ALARMS[name]["AlarmName"]["Fn::Sub"].replace("${Prefix}", "ecommerce")
    url = sqs.create_queue(QueueName=f"alarm-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[alarm_name])["MetricAlarms"]

    def put(value):
        """One value in each period that the alarm looks at."""
        for period in range(alarm["EvaluationPeriods"]):
            at = datetime.now(UTC) - timedelta(seconds=period * alarm["Period"] + 1)
            cloudwatch.put_metric_data(
                Namespace=alarm["Namespace"],
                MetricData=[
                    {
                        "MetricName": alarm["MetricName"],
                        "Dimensions": alarm["Dimensions"],
                        "Timestamp": at,
                        "Value": value,
                    }
                ],
            )

    def told():
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        messages = [json.loads(json.loads(m["Body"])["Message"]) for m in found]
        return [m["NewStateValue"] for m in messages if m["AlarmName"] == alarm_name]

    try:
        bad = alarm["Threshold"] + (-1 if alarm["ComparisonOperator"] == "LessThanThreshold" else 1)
        put(bad)
        assert cloudwatch.describe_alarms(AlarmNames=[alarm_name])["MetricAlarms"][0]["StateValue"] == "ALARM"
        assert [state for state in told() if state != "OK"] == ["ALARM"]
        put(bad)
        assert told() == []  # no storm
    finally:
        sns.unsubscribe(SubscriptionArn=subscription)


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_it_names_a_runbook_and_tells_when_it_is_over(name):
    properties = ALARMS[name]
    assert properties["AlarmActions"] == properties["OKActions"] == [{"Ref": "AlertsTopicArn"}]
    page = properties["AlarmDescription"].rpartition(" ")[2]
    assert page.startswith("docs/runbooks/")
    assert (PROJECT / page).is_file()


def test_what_only_aws_measures_is_known():
    names = [p["MetricName"] for p in ALARMS.values()]
    by_default = {name["Fn::If"][2] if isinstance(name, dict) else name for name in names}
    assert by_default - MEASURED_HERE == {
        "Throttles",
        "ApproximateNumberOfMessagesVisible",
        "ApproximateAgeOfOldestMessage",
        "5xx",
    }
