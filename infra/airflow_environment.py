"""The environment of Airflow that follows from a deployment: settings and connections."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import boto3
from ecommerce_elt import aws_names


def variables(outputs: dict[str, str]) -> dict[str, str]:
    """Returns the environment of Airflow for a deployment: the pipeline's settings, and the connections of its stages.

    Args:
        outputs: outputs of the stacks, and the parameters Prefix, RedshiftWorkgroup and RedshiftDatabase. The last two
            may be missing if they have their defaults. A stage with BigQuery also has the result of
            `infra.stage_file.BigQuery.outputs`. `Settings` has the stage's own settings as JSON.
    """
    prefix = outputs["Prefix"]
    found = {
        "ECOMMERCE_STACK_PREFIX": prefix,
        "ECOMMERCE_BUCKET": outputs["Bucket"],
        "ECOMMERCE_RAW_OBJECTS_QUEUE": outputs["RawObjectsQueueName"],
        "ECOMMERCE_ALERTS_TOPIC_ARN": outputs["AlertsTopicArn"],
        "ECOMMERCE_WORKGROUP": outputs.get("RedshiftWorkgroup", "ecommerce"),
        "ECOMMERCE_DATABASE": outputs.get("RedshiftDatabase", "ecommerce"),
        "ECOMMERCE_LAKE_DATABASE": outputs["LakeDatabase"],
        "ECOMMERCE_ATHENA_WORKGROUP": outputs["AthenaWorkgroup"],
        "ECOMMERCE_PII_HMAC_SECRET": aws_names.hmac_secret(prefix),
        "ECOMMERCE_HAS_DELIVERY": str(outputs["DeliveryTo"] != "none").lower(),
    }
    for stage in ("Load", "Marts", "Dashboards", "Lake", "Erase", "Reconcile", "Features", "Bigquery", "Forecast"):
        extra = {"role_arn": outputs[f"{stage}RoleArn"], "region_name": boto3.session.Session().region_name}
        found[f"AIRFLOW_CONN_AWS_{stage.upper()}"] = f"aws://?{urlencode(extra)}"
    own: dict[str, str] = json.loads(outputs.get("Settings", "{}"))
    return found | of_bigquery(outputs) | of_forecast(outputs) | own


def of_forecast(outputs: dict[str, str]) -> dict[str, str]:
    """Returns the settings for forecasts as an ECS task, which are empty if the stage has no forecasts."""
    if "ForecastTaskDefinitionArn" not in outputs:
        return {}
    return {
        "ECOMMERCE_FORECAST_TASK_DEFINITION": outputs["ForecastTaskDefinitionArn"],
        "ECOMMERCE_FORECAST_CLUSTER": outputs["ForecastCluster"],
        "ECOMMERCE_FORECAST_LOG_GROUP": outputs["ForecastLogGroup"],
        "ECOMMERCE_FORECAST_SUBNETS": json.dumps(outputs["SubnetIds"].split(",")),
        "ECOMMERCE_FORECAST_SECURITY_GROUPS": json.dumps([outputs["AirflowGroupId"]]),
    }


def of_bigquery(outputs: dict[str, str]) -> dict[str, str]:
    """Returns the settings and the connection of the export to BigQuery, empty if the stage has no export.

    The connection contains no secret.
    """
    if "BigqueryProject" not in outputs:
        return {}
    accounts = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
    config = {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{outputs['BigqueryProvider']}",
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": "https://sts.googleapis.com/v1/token",
        "service_account_impersonation_url": f"{accounts}/{outputs['BigqueryServiceAccount']}:generateAccessToken",
    }
    connection = {"conn_type": "google_cloud_platform", "extra": {"credential_config_file": config}}
    return {
        "ECOMMERCE_BIGQUERY_PROJECT": outputs["BigqueryProject"],
        "ECOMMERCE_BIGQUERY_BUCKET": outputs["BigqueryBucket"],
        "ECOMMERCE_BIGQUERY_DATASET": outputs["BigqueryDataset"],
        "ECOMMERCE_BIGQUERY_LOCATION": outputs["BigqueryLocation"],
        "AIRFLOW_CONN_GCP_BIGQUERY": json.dumps(connection),
        **({"ECOMMERCE_BIGQUERY_TRANSFER_ROLE_ARN": role} if (role := outputs.get("TransferRoleArn")) else {}),
    }
