"""The names of AWS resources that derive from a deployment's prefix. The templates in infra/ give the same names."""

from __future__ import annotations

PREFIX = "ecommerce"  # of the local cloud, and by default
RAW_WRITER, DYNAMODB_WRITER = "raw-writer", "dynamodb-writer"  # the Lambdas that read the stream


def stack(prefix: str, name: str) -> str:
    """Returns the name of a CloudFormation stack."""
    return f"{prefix}-{name}"


def code_bucket(prefix: str, account: str) -> str:
    """Returns the name of the bucket with the packages of a deployment."""
    return f"{prefix}-code-{account}"


def lake_bucket(prefix: str, account: str) -> str:
    """Returns the name of the bucket of the lake."""
    return f"{prefix}-lake-{account}"


def stream(prefix: str = PREFIX) -> str:
    """Returns the name of the Kinesis stream of events."""
    return f"{prefix}-events"


def function(prefix: str, name: str) -> str:
    """Returns the name of a Lambda."""
    return f"{prefix}-{name}"


def failures_queue(prefix: str, name: str) -> str:
    """Returns the name of the queue for the records that a Lambda gave up."""
    return f"{function(prefix, name)}-failures"


def invoices(prefix: str) -> str:
    """Returns the name of the DynamoDB table of the items of invoices."""
    return f"{prefix}-invoices"


def customers(prefix: str) -> str:
    """Returns the name of the DynamoDB table of customers and their invoices."""
    return f"{prefix}-customers"


def crawler(prefix: str, folder: str) -> str:
    """Returns the name of the Glue crawler of a folder of the lake."""
    return f"{prefix}-{folder}"


def clean_job(prefix: str) -> str:
    """Returns the name of the Glue job that cleans batches."""
    return f"{prefix}-clean-events"


def hmac_secret(prefix: str = PREFIX) -> str:
    """Returns the name of the secret with the key of the HMAC of personal columns."""
    return f"{prefix}/pii-hmac-key"


def api_keys_secret(prefix: str) -> str:
    """Returns the name of the secret with the keys of the HTTP API."""
    return f"{prefix}/api-keys"
