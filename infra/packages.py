"""The packages that a deployment uploads: of each Lambda, of their shared layer, and of the Glue job."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from ecommerce_elt import aws_names
from ecommerce_elt.cleaning.spark_sql import spark_cleaning
from ecommerce_elt.cleaning.stages import cleaned_by
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.feeds.dialects import has_two_readings, rewrites
from ecommerce_elt.feeds.feed_sql import clean_sql
from ecommerce_elt.settings import PROJECT_DIR

from infra import mwaa

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

SQL = PROJECT_DIR / "include" / "sql"
PACKAGE = PROJECT_DIR / "plugins" / "ecommerce_elt"
JOB = PROJECT_DIR / "glue" / "clean_events.py"
# Modules that the job imports. Glue has pyarrow and boto3, but none of the other packages.
JOB_MODULES = (
    *(PACKAGE / f"{name}.py" for name in ("__init__", "errors", "listing")),
    *sorted((PACKAGE / "batches").glob("*.py")),
)
LAMBDAS = PROJECT_DIR / "lambdas"
LAYER = LAMBDAS / "shared"
# Folder to the template parameter for the key of its package.
FUNCTIONS = {
    "raw_writer": "RawWriterKey",
    "ingest_api": "IngestApiKey",
    "query_api": "QueryApiKey",
    "api_authorizer": "ApiAuthorizerKey",
    "dynamodb_writer": "DynamodbWriterKey",
    "firehose_transform": "FirehoseTransformKey",
}
LAYER_PACKAGES = ("aws-kinesis-agg", "protobuf", "six")


def _archive(name: str, files: dict[str, bytes]) -> tuple[str, bytes]:
    """Returns (key with the hash of the content, zip archive)."""
    body = mwaa.archive(files)
    return f"{name}-{_hash(body)}.zip", body


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def package(directory: Path) -> tuple[str, bytes]:
    """Returns (key with the hash of the content, zip archive) of one Lambda's folder.

    handler.py is at the top of the archive, where Lambda looks for `handler.handler`. It imports the other modules as
    `lambdas.<folder>.<module>`, as in this repository.
    """
    name = f"lambdas/{directory.name}"
    paths = directory.glob("*.py")
    return _archive(name, {p.name if p.stem == "handler" else f"{name}/{p.name}": p.read_bytes() for p in paths})


def package_layer() -> tuple[str, bytes]:
    """Returns (key with the hash of the content, zip archive) of the shared layer, with the contracts as JSON.

    Only the Python files of packages are included, so that one layer runs on every processor. This makes protobuf
    slower, but it is used only for aggregated records.
    """
    files = {f"python/{path.relative_to(LAYER)}": path.read_bytes() for path in LAYER.rglob("*.py")}
    for name in LAYER_PACKAGES:
        files |= {
            f"python/{file}": file.read_binary()
            for file in distribution(name).files or ()
            if file.suffix == ".py" and ".." not in file.parts
        }
    files["python/ecommerce_events/contracts.json"] = json.dumps(lambda_contracts(), indent=1).encode()
    return _archive("lambdas/shared", files)


LAMBDA_COLUMN = {"name", "type", "required", "min", "max", "max_bytes", "pattern", "privacy", "formats", "round"}


def lambda_contract(contract: Contract) -> dict[str, Any]:
    """Returns the contract in the form for the Lambdas."""
    return {
        "feed": contract.feed,
        "version": contract.version,
        "event_time": contract.event_time,
        "partition_key": contract.partition_key,
        "unknown_keys": contract.unknown_keys,
        "known_keys": contract.known_keys,
        "dialects_since": contract.dialects_since,
        "columns": [
            column.model_dump(include=LAMBDA_COLUMN)
            | {
                "headers": column.headers,
                "accepted": None if column.accepted is None else list(column.accepted),
                "missing": contract.missing_words(column),
                "rewrites": rewrites(column),
                "two_readings": has_two_readings(column),
                "is_personal": contract.is_personal,
            }
            for column in contract.columns
        ],
    }


def lambda_contracts() -> dict[str, dict[str, Any]]:
    """Returns the contracts of all feeds in the form for the Lambdas, by feed."""
    return {
        feed: lambda_contract(contract) for feed, contract in load_contracts(PROJECT_DIR / "include" / "feeds").items()
    }


def _ensure_bucket(s3: S3Client, name: str, region: str) -> None:
    location: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.create_bucket(Bucket=name, **location)
    except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        s3.head_bucket(Bucket=name)  # fails if another account owns it
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})  # MWAA requires it


def package_job() -> dict[str, tuple[str, bytes]]:
    """Returns (key with the hash of the content, content) of the Glue job's files, by analytics template parameter."""
    modules = {str(path.relative_to(PACKAGE.parent)): path.read_bytes() for path in JOB_MODULES}
    cleaning = {
        feed: {
            "stages": spark_cleaning(contract, clean_sql(contract, SQL)),
            "known_keys": contract.known_keys,
            "cleaned_by": cleaned_by(contract, clean_sql(contract, SQL)),
        }
        for feed, contract in load_contracts(PROJECT_DIR / "include" / "feeds").items()
    }
    script, translated = JOB.read_bytes(), json.dumps(cleaning, indent=1).encode()
    return {
        "JobPackageKey": _archive("glue/ecommerce_elt", modules),
        "JobScriptKey": (f"glue/clean_events-{_hash(script)}.py", script),
        "JobCleaningKey": (f"glue/cleaning-{_hash(translated)}.json", translated),
    }


def upload(prefix: str, packages: dict[str, tuple[str, bytes]]) -> dict[str, str]:
    """Uploads the packages to the code bucket, creates it if needed, and returns the parameters that name them."""
    session = boto3.session.Session()
    s3, account = session.client("s3"), session.client("sts").get_caller_identity()["Account"]
    bucket = aws_names.code_bucket(prefix, account)
    _ensure_bucket(s3, bucket, session.region_name)
    for key, body in packages.values():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    return {"Prefix": prefix, "CodeBucket": bucket} | {parameter: key for parameter, (key, _) in packages.items()}
