"""The operators of `forecast_demand`. They run the program in forecast/ in a local environment or as an ECS task."""

from __future__ import annotations

import json
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator
from airflow.providers.standard.operators.python import ExternalPythonOperator
from airflow.sdk import Context

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import PROJECT_DIR, Settings, settings

DEMAND, RUNS, MODELS = "forecast/demand/", "forecast/runs/", "models/demand/"
CONTAINER, LOG_PREFIX = "forecast", "ecs"  # as in infra/forecast.yaml
RESULT = RUNS + "results/{{ run_id }}.json"  # the result that the task writes for this run


def url(prefix: str) -> str:
    """Returns the s3:// URL of a folder of the lake."""
    return f"s3://{settings().bucket}/{prefix}"


def parameters(config: Settings) -> dict[str, Any]:
    """Returns the parameters of the program, as in `forecast.run.Parameters`."""
    return {
        "lead_days": config.forecast_lead_days,
        "service_levels": config.forecast_service_levels,
        "seeds": config.forecast_seeds,
        "country": config.forecast_country,
    }


def run_forecast(project: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Runs in the program's environment, which has neither Airflow nor names defined outside this function."""
    import logging
    import sys

    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
    sys.path.insert(0, project)
    from forecast.run import run

    return run(**arguments)


class ForecastOperator(ExternalPythonOperator):
    """Runs the program with the permissions of the DAG's stage, given as boto3's environment variables."""

    def __init__(self, *, aws_conn_id: str, **kwargs: Any) -> None:
        config = settings()
        arguments = {
            "demand": url(DEMAND),
            "output": url(RUNS),
            "models": url(MODELS),
            "parameters": parameters(config),
        }
        super().__init__(
            python=str(config.forecast_python),
            python_callable=run_forecast,
            expect_airflow=False,
            op_kwargs={"project": str(PROJECT_DIR), "arguments": arguments},
            **kwargs,
        )
        self.aws_conn_id = aws_conn_id

    def execute(self, context: Context) -> Any:
        from ecommerce_elt.airflow import lineage

        hook = AwsBaseHook(aws_conn_id=self.aws_conn_id)
        keys = hook.get_credentials()
        found = {
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,
            "AWS_DEFAULT_REGION": hook.region_name,
        }
        self.env_vars = {name: value for name, value in found.items() if value}
        done = super().execute(context)
        lineage.moved([lineage.folder(DEMAND)], [lineage.folder(RUNS), lineage.folder(MODELS)])
        return done


class EcsForecastOperator(EcsRunTaskOperator):
    """Runs the program as an ECS task on Fargate, and returns the result that it wrote. The ECS task has its own role.

    After a worker dies, the operator reattaches to the ECS task and does not start a second one.
    """

    def __init__(self, **kwargs: Any) -> None:
        config = settings()
        if not (config.forecast_cluster and config.forecast_subnets):
            raise PermanentError(
                "ECOMMERCE_FORECAST_TASK_DEFINITION is set and ECOMMERCE_FORECAST_CLUSTER or ECOMMERCE_FORECAST_SUBNETS is not: "
                "expected the outputs of infra/forecast.yaml and the subnets of the network, docs/forecast.md"
            )
        command = [
            "run",
            "--demand",
            url(DEMAND),
            "--output",
            url(RUNS),
            "--models",
            url(MODELS),
            "--parameters",
            json.dumps(parameters(config)),
            "--result",
            url(RESULT),
        ]
        logs = {"awslogs_group": config.forecast_log_group, "awslogs_stream_prefix": LOG_PREFIX}
        super().__init__(
            task_definition=config.forecast_task_definition,
            cluster=config.forecast_cluster,
            launch_type="FARGATE",
            overrides={"containerOverrides": [{"name": CONTAINER, "command": command}]},
            network_configuration={
                "awsvpcConfiguration": {
                    "subnets": config.forecast_subnets,
                    "securityGroups": config.forecast_security_groups,
                    "assignPublicIp": "DISABLED",
                }
            },
            container_name=CONTAINER,
            reattach=True,
            deferrable=True,
            **(logs if config.forecast_log_group else {}),
            **kwargs,
        )

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        from ecommerce_elt.airflow import lineage

        super().execute_complete(context, event)
        key = RESULT.replace("{{ run_id }}", context["run_id"])
        done = json.loads(S3Hook(aws_conn_id=self.aws_conn_id).read_key(key, settings().bucket))
        lineage.moved([lineage.folder(DEMAND)], [lineage.folder(RUNS), lineage.folder(MODELS)])
        return done


def forecast_operator(**kwargs: Any) -> ForecastOperator | EcsForecastOperator:
    """Returns the operator for the settings: the ECS operator if an ECS task definition is set."""
    return (EcsForecastOperator if settings().forecast_task_definition else ForecastOperator)(**kwargs)
