"""AWS's JSON 1.1 protocol for the stand-ins: one POST, the operation in X-Amz-Target, shapes of botocore's own model."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import botocore.session
from botocore.model import OperationModel
from botocore.validate import ParamValidator
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

log = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class ApiError(Exception):
    """A call failed: it answers with this error of the service's model."""

    def __init__(self, code: str, message: str, **members: str) -> None:
        super().__init__(message)
        self.code, self.message, self.members = code, message, members


class JsonService:
    """The operations of one service, by name. Each takes the request's members and returns the response's."""

    operations: Mapping[str, Handler]

    def __init__(self, service: str, title: str) -> None:
        self.model = botocore.session.get_session().get_service_model(service)
        self.title = title

    def call(self, operation: str, body: bytes) -> dict[str, Any]:
        """Returns the response's members.

        Raises:
            ApiError: as the service's model says.
        """
        if operation not in self.operations:
            known = operation in self.model.operation_names
            what = "is not part of the local stand-in for" if known else "is no operation of"
            raise ApiError("UnknownOperationException", f"{operation} {what} {self.title}")
        try:
            request = json.loads(body or b"{}")
        except ValueError as error:
            raise ApiError("SerializationException", f"the body is no JSON: {error}") from error
        shape = OperationModel(
            self.model.operation_model(operation)._operation_model, self.model, operation
        ).input_shape
        report = ParamValidator().validate(request, shape)
        if report.has_errors():
            raise ApiError("ValidationException", report.generate_report())
        return self.operations[operation](request)


def application(service: JsonService, check_health: Callable[[], object] = lambda: None) -> Starlette:
    """Returns the ASGI application: POST / for the service's API, GET /health for the supervisor."""
    prefix = service.model.metadata["targetPrefix"]

    async def operate(request: Request) -> Response:
        target = request.headers.get("x-amz-target", "")
        found, _, operation = target.partition(".")
        try:
            if found != prefix:
                raise ApiError("UnknownOperationException", f"X-Amz-Target {target!r}: expected {prefix}.<operation>")
            return answer(200, await run_in_threadpool(service.call, operation, await request.body()))
        except ApiError as error:
            status = 500 if error.code.startswith(("Internal", "ServiceUnavailable")) else 400
            return answer(
                status, {"__type": error.code, "message": error.message, "Message": error.message, **error.members}
            )
        except Exception as error:
            log.exception("operation=%s failed", operation)
            return answer(500, {"__type": "InternalServerException", "message": repr(error), "Message": repr(error)})

    async def health(request: Request) -> Response:
        await run_in_threadpool(check_health)
        return answer(200, {"status": "ok"})

    return Starlette(routes=[Route("/", operate, methods=["POST"]), Route("/health", health)])


def answer(status: int, body: Mapping[str, Any]) -> Response:
    headers = {"x-amzn-RequestId": str(uuid.uuid4())}
    if status != 200:
        headers["x-amzn-ErrorType"] = str(body["__type"])
    return Response(json.dumps(body), status, headers, "application/x-amz-json-1.1")
