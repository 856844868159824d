"""Writes down each AWS call of the process, where RECORD_CALLS_TO names a folder: put this folder on PYTHONPATH.

Python imports this module by itself at start. One JSON line a kind of call: who, with which access key, what, and on what.
"""

import json
import os
import sys
from pathlib import Path

FOLDER = os.environ.get("RECORD_CALLS_TO")
# dynamodb_writer puts the actions of a transaction into the finished request, so they are no parameters of the call.
WRITTEN_AS_SENT = {"TransactWriteItems"}


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
        elif (
            isinstance(value, str)
            and len(value) < 300
            and name
            not in {
                "StatementName",
                "ClientToken",
                "ContinuationToken",
                "NextToken",
                "Id",
                "UploadId",
                "IngestionId",
                "ReceiptHandle",
                "MessageBody",
                "Message",
                "Subject",
                "QueryExecutionId",
                "QueryString",
                "RunId",
                "JobRunId",
                "IfMatch",
                "ETag",
                "ShardIterator",
                "StartingSequenceNumber",
                "ShardId",
                "Sql",
                "SecretString",
                "PartitionKey",
                "IfNoneMatch",
            }
        ):
            short[name] = value
    return short


def _note(client, operation, params):
    credentials = client._request_signer._credentials
    call = {
        "who": _who(),
        "key": getattr(credentials, "access_key", None),
        "service": client.meta.service_model.service_name,
        "operation": operation,
        "on": _short(params or {}),
    }
    line = json.dumps(call, sort_keys=True)
    if (os.getpid(), line) not in _seen:  # a forked child writes down its own
        _seen.add((os.getpid(), line))
        with _file.open("a") as out:
            out.write(line + "\n")


def _patch(module):
    plain, send = module.BaseClient._make_api_call, module.BaseClient._make_request

    def call(self, operation_name, api_params):
        if operation_name not in WRITTEN_AS_SENT:
            _note(self, operation_name, api_params)
        return plain(self, operation_name, api_params)

    def request(self, operation_model, request_dict, request_context):
        if operation_model.name in WRITTEN_AS_SENT:
            _note(self, operation_model.name, json.loads(request_dict["body"]))
        return send(self, operation_model, request_dict, request_context)

    module.BaseClient._make_api_call, module.BaseClient._make_request = call, request


def _patch_async(module):
    plain = module.AioBaseClient._make_api_call

    async def call(self, operation_name, api_params):
        _note(self, operation_name, api_params)
        return await plain(self, operation_name, api_params)

    module.AioBaseClient._make_api_call = call


class _Finder:
    """Patches the clients' modules once they are imported, so that a process without them pays nothing."""

    patches = {"botocore.client": _patch, "aiobotocore.client": _patch_async}  # noqa: RUF012

    def find_spec(self, name, path=None, target=None):
        if name not in self.patches:
            return None
        spec = next(s for f in sys.meta_path if f is not self and (s := f.find_spec(name, path, target)))
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            self.patches[name](module)

        spec.loader.exec_module = exec_module
        return spec


if FOLDER:
    _file = Path(FOLDER) / f"{os.getpid()}-{os.urandom(4).hex()}.jsonl"
    _seen: set[tuple[int, str]] = set()
    sys.meta_path.insert(0, _Finder())
