"""Writes down each AWS call of the process, where RECORD_CALLS_TO names a folder: put this folder on PYTHONPATH.

Python imports this module by itself at start. One JSON line a kind of call: who, with which access key, what, and on what.
"""

import json
import os
import sys
from pathlib import Path

FOLDER = os.environ.get("RECORD_CALLS_TO")


def _who():
    if name := os.environ.get("AWS_LAMBDA_FUNCTION_NAME"):
        return f"lambda {name}"
    words = [Path(word).name for word in sys.orig_argv[1:] if not word.startswith("-X")]
    return " ".join(words[:2] if words[:1] == ["-m"] or words[:1] == ["airflow"] else words[:1])


def _folders(key):
    """The folder of a key, without what changes from one object to the next."""
    return "/".join(key.split("/")[:2])


def _short(params):
    """The parameters that name what is touched."""
    short = {}
    for name, value in params.items():
        if name in {"Key", "Prefix"}:
            short[name] = value if len(value) < 20 else _folders(value) + "/..."
        elif name == "Delete":
            short["Keys"] = sorted({_folders(item["Key"]) + "/..." for item in value["Objects"]})
        elif name == "RequestItems":
            short["Tables"] = sorted(value)
        elif name == "TransactItems":
            short["Items"] = sorted({(kind, item["TableName"]) for entry in value for kind, item in entry.items()})
        elif isinstance(value, str) and len(value) < 300 and name not in {
            "StatementName", "ClientToken", "ContinuationToken", "NextToken", "Id", "UploadId", "IngestionId", "ReceiptHandle",
            "MessageBody", "Message", "Subject", "QueryExecutionId", "QueryString", "RunId", "JobRunId", "IfMatch", "ETag",
            "ShardIterator", "StartingSequenceNumber", "ShardId", "Sql", "SecretString", "PartitionKey", "IfNoneMatch",
        }:  # fmt: skip
            short[name] = value
    return short


def _install():
    from botocore import client

    file = Path(FOLDER) / f"{os.getpid()}-{os.urandom(4).hex()}.jsonl"
    seen = set()

    def note(self, operation, params):
        credentials = self._request_signer._credentials
        who = (_who(), getattr(credentials, "access_key", None))
        call = {"who": who[0], "key": who[1], "service": self.meta.service_model.service_name, "operation": operation,
                "on": _short(params or {})}  # fmt: skip
        line = json.dumps(call, sort_keys=True)
        if (os.getpid(), line) not in seen:  # a forked child writes down its own
            seen.add((os.getpid(), line))
            with file.open("a") as out:
                out.write(line + "\n")

    plain = client.BaseClient._make_api_call

    def call(self, operation_name, api_params):
        note(self, operation_name, api_params)
        return plain(self, operation_name, api_params)

    client.BaseClient._make_api_call = call
    try:
        from aiobotocore import client as asynchronous
    except ImportError:
        return
    awaited = asynchronous.AioBaseClient._make_api_call

    async def call_async(self, operation_name, api_params):
        note(self, operation_name, api_params)
        return await awaited(self, operation_name, api_params)

    asynchronous.AioBaseClient._make_api_call = call_async


if FOLDER:
    _install()
