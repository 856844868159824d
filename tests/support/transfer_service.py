"""Stands for Google's Storage Transfer Service, which no emulator has: takes what Google's own types take, and copies."""

from types import SimpleNamespace

from ecommerce_elt.bigquery.storage_transfer import SERVICE
from google.cloud.storage_transfer_v1 import types
from google.protobuf import json_format


def judged(kind, body):
    """The body as Google's type has it; a field or a value that it does not know is a ParseError."""
    message = kind.pb(kind())
    json_format.ParseDict(body, message)
    return kind.wrap(message)


class TransferService:
    """Jobs and operations as the REST API has them.

    Args:
        copy: is given a job when it runs.
        answers: overrides the answers of the first calls: (status, body), or an exception.
    """

    def __init__(self, copy=lambda job: None, answers=()):
        self.copy, self.answers, self.jobs, self.latest, self.operations, self.asked = (
            copy,
            list(answers),
            {},
            {},
            {},
            [],
        )
        self.status = "SUCCESS"

    def request(self, method, url, json=None, params=None, timeout=None):
        assert timeout > 0
        path = url.removeprefix(f"{SERVICE}/")
        self.asked.append(f"{method} {path.split('/')[0]}{':run' if path.endswith(':run') else ''}")
        if self.answers and (given := self.answers.pop(0)):
            if isinstance(given, Exception):
                raise given
            return answer(*given)
        name = path.removesuffix(":run")
        if (method, path) == ("POST", "transferJobs"):
            job = judged(types.TransferJob, json)
            if job.name in self.jobs:
                return answer(409, {"error": {"message": "already exists"}})
            self.jobs[job.name] = job
            return answer(200, json)
        if name.startswith("transferOperations/"):
            self.operations[name]["done"] = True
            return answer(200, self.operations[name])
        if name not in self.jobs:
            return answer(404, {"error": {"message": "Requested entity was not found."}})
        if method == "DELETE":
            assert params == {"projectId": self.jobs[name].project_id}
            del self.jobs[name]
            return answer(200, {})
        if path.endswith(":run"):
            judged(types.RunTransferJobRequest, {"jobName": name, **json})
            self.copy(self.jobs[name])
            operation = f"transferOperations/{len(self.operations)}"
            self.latest[name] = operation
            self.operations[operation] = {"name": operation, "metadata": {"status": self.status, "counters": {}}}
            return answer(200, self.operations[operation])
        assert params == {"projectId": self.jobs[name].project_id}
        return answer(
            200, {"name": name, **({"latestOperationName": self.latest[name]} if name in self.latest else {})}
        )


def answer(status, body):
    return SimpleNamespace(status_code=status, json=lambda: body, reason="")
