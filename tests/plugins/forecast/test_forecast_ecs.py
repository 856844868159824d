"""Forecasts as a task of ECS: what is asked of it by botocore's model, what comes back, and what the DAG is with and without it.

No emulator here runs tasks of ECS, so its answers are botocore's stubs; S3 is the local cloud's.
"""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import boto3
import pytest
from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator
from airflow.sdk.exceptions import AirflowException, TaskDeferred
from botocore.stub import ANY, Stubber
from cfnlint.decode import cfn_yaml
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.forecast import operators as forecast_operators
from ecommerce_elt.forecast import tasks as forecast_tasks
from ecommerce_elt.settings import Settings

from infra.airflow_environment import of_forecast
from tests.conftest import PROJECT

ARN = "arn:aws:ecs:us-east-1:000000000000:"
OUTPUTS = {
    "ForecastTaskDefinitionArn": f"{ARN}task-definition/ecommerce-forecast:3",
    "ForecastCluster": "ecommerce-forecast",
    "ForecastLogGroup": "/aws/ecs/ecommerce-forecast",
    "SubnetIds": "subnet-1,subnet-2",
    "AirflowGroupId": "sg-1",
}
BUCKET = "ecommerce-lake-000000000000"
TASK = f"{ARN}task/ecommerce-forecast/0123456789abcdef"
RUN = "scheduled__2026-01-02T04:00:00+00:00"


@pytest.fixture
def operator(monkeypatch):
    connection = {"AIRFLOW_CONN_AWS_FORECAST": "aws://forecast:local@/?region_name=us-east-1"}
    for name, value in {**of_forecast(OUTPUTS), **connection, "ECOMMERCE_BUCKET": BUCKET}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(forecast_operators, "settings", Settings)
    return forecast_operators.forecast_operator(task_id="forecast", aws_conn_id="aws_forecast")


@pytest.fixture
def ecs(operator):
    client = boto3.client("ecs", region_name="us-east-1")
    operator.hook.__dict__["conn"] = client
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def context():
    ti = SimpleNamespace(
        dag_id="forecast_demand", task_id="forecast", run_id=RUN, map_index=-1, xcom_push=lambda **_: None
    )
    return {"run_id": RUN, "ti": ti}


def stopped(code):
    return {
        "tasks": [
            {
                "taskArn": TASK,
                "lastStatus": "STOPPED",
                "stoppedReason": "Essential container in task exited",
                "containers": [{"name": "forecast", "lastStatus": "STOPPED", "exitCode": code}],
            }
        ]
    }


def asked(operator):
    [container] = operator.overrides["containerOverrides"]
    return container["command"]


def test_the_task_is_asked_for_by_the_model_of_ecs_and_waited_for_without_a_worker(operator, ecs, monkeypatch):
    operator.overrides = json.loads(
        json.dumps(operator.overrides).replace("{{ run_id }}", RUN)
    )  # as Airflow renders it
    ecs.add_response(
        "list_tasks", {"taskArns": []}, {"cluster": "ecommerce-forecast", "desiredStatus": "RUNNING", "startedBy": ANY}
    )
    network = {"subnets": ["subnet-1", "subnet-2"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
    ecs.add_response(
        "run_task",
        {"tasks": [{"taskArn": TASK}], "failures": []},
        {
            "cluster": "ecommerce-forecast",
            "taskDefinition": OUTPUTS["ForecastTaskDefinitionArn"],
            "launchType": "FARGATE",
            "overrides": {"containerOverrides": [{"name": "forecast", "command": asked(operator)}]},
            "startedBy": ANY,
            "networkConfiguration": {"awsvpcConfiguration": network},
        },
    )
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context())
    assert deferred.value.trigger.serialize()[1]["log_stream"] == "ecs/forecast/0123456789abcdef"
    assert deferred.value.method_name == "execute_complete"

    # Another try finds the task, and starts no second one.
    operator.arn = None
    ecs.add_response(
        "list_tasks",
        {"taskArns": [TASK]},
        {"cluster": "ecommerce-forecast", "desiredStatus": "RUNNING", "startedBy": ANY},
    )
    with pytest.raises(TaskDeferred):
        operator.execute(context())
    assert operator.arn == TASK


def test_what_the_program_wrote_comes_back_and_a_failure_is_red(operator, ecs, cloud, observer, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.cloud_url)
    told = []
    monkeypatch.setattr("ecommerce_elt.airflow.lineage.moved", lambda inputs, outputs: told.append(list(outputs)))
    operator.awslogs_group = None  # the log has an API of its own, which is the provider's part
    event = {"status": "success", "task_arn": TASK, "cluster": "ecommerce-forecast"}
    ecs.add_response("describe_tasks", stopped(1), {"cluster": "ecommerce-forecast", "tasks": [TASK]})
    with pytest.raises(AirflowException):
        operator.execute_complete(context(), event)
    assert told == []
    key = f"forecast/runs/results/{RUN}.json"
    observer.s3.put_object(Bucket=observer.bucket, Key=key, Body=b'{"products": 7, "fingerprint": "f"}')
    ecs.add_response("describe_tasks", stopped(0), {"cluster": "ecommerce-forecast", "tasks": [TASK]})
    assert operator.execute_complete(context(), event) == {"products": 7, "fingerprint": "f"}
    assert told == [[f"s3://{observer.bucket}/forecast/runs", f"s3://{observer.bucket}/models/demand"]]
    assert key in asked(operator)[-1].replace("{{ run_id }}", RUN)


def test_the_template_and_the_operator_name_the_same(operator):
    assert isinstance(operator, EcsRunTaskOperator)
    template = cfn_yaml.load(str(PROJECT / "infra" / "forecast.yaml"))
    definition = template["Resources"]["TaskDefinition"]["Properties"]
    [container] = definition["ContainerDefinitions"]
    options = container["LogConfiguration"]["Options"]
    assert container["Name"] == operator.container_name == forecast_operators.CONTAINER
    assert options["awslogs-stream-prefix"] == operator.awslogs_stream_prefix
    assert definition["RequiresCompatibilities"] == [operator.launch_type]
    assert set(OUTPUTS) - {"SubnetIds", "AirflowGroupId"} == set(template["Outputs"])
    image = (PROJECT / "docker" / "forecast.Dockerfile").read_text()
    assert 'ENTRYPOINT ["python", "-m", "forecast"]' in image
    assert asked(operator)[0] == "run"


def test_half_of_the_settings_is_an_error_that_names_them(monkeypatch):
    monkeypatch.setattr(forecast_operators, "settings", lambda: Settings(forecast_task_definition="ecommerce-forecast"))
    with pytest.raises(PermanentError, match="ECOMMERCE_FORECAST_CLUSTER or ECOMMERCE_FORECAST_SUBNETS is not"):
        forecast_operators.forecast_operator(task_id="forecast", aws_conn_id="aws_forecast")


def test_with_a_task_the_environment_of_this_machine_is_not_asked_for(monkeypatch, tmp_path):
    class Empty:
        def query(self, sql):
            return [(0,)]

    from contextlib import nullcontext

    found = Settings(forecast_python=tmp_path / "python", forecast_task_definition="ecommerce-forecast")
    monkeypatch.setattr(forecast_tasks, "settings", lambda: found)
    monkeypatch.setattr(forecast_tasks, "linked_warehouse", lambda: nullcontext(Empty()))
    with pytest.raises(Exception, match="there is nothing to forecast from"):
        forecast_tasks.unload_demand.function()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, "ForecastOperator"), (of_forecast(OUTPUTS), "EcsForecastOperator")],
    ids=["this_machine", "ecs"],
)
def test_the_dag_with_and_without_a_task_definition(settings, expected):
    code = (
        "from airflow.dag_processing.dagbag import DagBag; import sys; bag = DagBag(sys.argv[1], safe_mode=False); "
        "assert not bag.import_errors, bag.import_errors; dag = bag.dags['forecast_demand']; "
        "print(type(dag.task_dict['forecast']).__name__, sorted(dag.task_dict))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(PROJECT / "dags" / "forecast_demand.py")],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | settings,
    )
    assert done.stdout.splitlines()[-1] == f"{expected} ['forecast', 'publish_forecast', 'unload_demand']"
