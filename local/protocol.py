"""The JSON protocols of AWS for the stand-ins, with the shapes of botocore's own model.

In JSON 1.1 there is one POST path, and X-Amz-Target names the operation. In REST JSON, method and path name it.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Annotated, Any
from urllib.parse import unquote

import botocore.session
import typer
from botocore.validate import ParamValidator
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from local.own_pages import OwnPagesOnly

log = logging.getLogger(__name__)

OWN_PAGES = [Middleware(OwnPagesOnly)]

LOOPBACK = "127.0.0.1"
# A container has its own loopback interface. There, Docker publishes the ports on that of the host.
Host = Annotated[str, typer.Option(envvar="BIND_HOST", help="Address to listen on.")]

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class ApiError(Exception):
    """A call failed. The response is this error of the service's model."""

    def __init__(self, code: str, message: str, **members: str) -> None:
        super().__init__(message)
        self.code, self.message, self.members = code, message, members


class JsonService:
    """The operations of one service, by name. Each receives the members of the request and returns those of the
    response.
    """

    operations: Mapping[str, Handler]

    def __init__(self, service: str, title: str) -> None:
        # The stubs have no members of a shape that is found by name, and an operation may have no input.
        self.model: Any = botocore.session.get_session().get_service_model(service)
        self.title = title

    def call(self, operation: str, body: bytes) -> dict[str, Any]:
        """Returns the members of the response.

        Raises:
            ApiError: An error of the service's model.
        """
        if operation not in self.operations:
            known = operation in self.model.operation_names
            what = "is not part of the local stand-in for" if known else "is no operation of"
            raise ApiError("UnknownOperationException", f"{operation} {what} {self.title}")
        return self._checked(operation, _object(body))

    def _checked(self, operation: str, request: dict[str, Any], code: str = "ValidationException") -> dict[str, Any]:
        report = ParamValidator().validate(request, self.model.operation_model(operation).input_shape)
        if report.has_errors():
            raise ApiError(code, report.generate_report())
        return self.operations[operation](request)


class RestService(JsonService):
    """The operations of one service that speaks REST JSON."""

    invalid = "InvalidParameterValueException"

    def call_rest(
        self, operation: str, path: Mapping[str, str], query: Mapping[str, str], body: bytes
    ) -> dict[str, Any]:
        """Returns the members of the response; the shape defines which member of the request is in path, query or body.

        Raises:
            ApiError: An error of the service's model.
        """
        request = _object(body)
        for name, shape in self.model.operation_model(operation).input_shape.members.items():
            where, wire = shape.serialization.get("location"), shape.serialization.get("name", name)
            found = {"uri": path, "querystring": query}.get(where, {}).get(wire)
            if found is not None and where == "uri":
                found = unquote(found)
            if found is not None:
                request[name] = int(found) if shape.type_name in {"integer", "long"} else found
        return self._checked(operation, request, self.invalid)

    def routes(self) -> list[Route]:
        """Returns a route for each operation of the model; unsupported operations respond with an error."""
        return [self._route(name) for name in self.model.operation_names]

    def _route(self, operation: str) -> Route:
        http = self.model.operation_model(operation).http

        async def operate(request: Request) -> Response:
            try:
                if operation not in self.operations:
                    raise ApiError(
                        "UnknownOperationException", f"{operation} is not part of the local stand-in for {self.title}"
                    )
                body = await request.body()
                out = await run_in_threadpool(
                    self.call_rest, operation, request.path_params, dict(request.query_params), body
                )
                return answer(200, out)
            except ApiError as error:
                return _refusal(error, _STATUS)
            except Exception as error:
                log.exception("operation=%s failed", operation)
                return _refusal(ApiError("InternalFailureException", repr(error)))

        return Route(http["requestUri"].partition("?")[0], operate, methods=[http["method"]])


# JSON 1.1 responds to every error of the caller with 400, REST with the status of the model.
_STATUS = {
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "ResourceExistsException": 409,
    "ConflictException": 409,
    "LimitExceededException": 409,
    "ThrottlingException": 429,
}


def _object(body: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(body or b"{}"))
    except ValueError as error:
        raise ApiError("SerializationException", f"the body is no JSON: {error}") from error


def _refusal(error: ApiError, statuses: Mapping[str, int] = {}) -> Response:  # read only
    status = 500 if error.code.startswith(("Internal", "ServiceUnavailable")) else statuses.get(error.code, 400)
    return answer(status, {"__type": error.code, "message": error.message, "Message": error.message, **error.members})


class _PathAsSent:
    """Routes by the path as it was sent: `%2F` in a name, such as that of a QuickSight user, does not separate
    segments.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        as_sent = {"path": scope["raw_path"].decode("ascii")} if scope["type"] == "http" else {}
        await self.app({**scope, **as_sent}, receive, send)


def rest_application(service: RestService, pages: Sequence[Route] = ()) -> Starlette:
    """Returns the ASGI application with the API of the service, GET /health for the supervisor, and pages for users."""

    async def health(request: Request) -> Response:
        return answer(200, {"status": "ok"})

    return Starlette(
        routes=[Route("/health", health), *pages, *service.routes()], middleware=[*OWN_PAGES, Middleware(_PathAsSent)]
    )


def application(
    *services: JsonService, check_health: Callable[[], object] = lambda: None, pages: Sequence[Route] = ()
) -> Starlette:
    """Returns the ASGI application with POST / for the APIs, GET /health for the supervisor, and pages for users."""
    by_prefix = {service.model.metadata["targetPrefix"]: service for service in services}

    async def operate(request: Request) -> Response:
        target = request.headers.get("x-amz-target", "")
        prefix, _, operation = target.partition(".")
        try:
            if prefix not in by_prefix:
                expected = " or ".join(f"{known}.<operation>" for known in by_prefix)
                raise ApiError("UnknownOperationException", f"X-Amz-Target {target!r}: expected {expected}")
            return answer(200, await run_in_threadpool(by_prefix[prefix].call, operation, await request.body()))
        except ApiError as error:
            return _refusal(error)
        except Exception as error:
            log.exception("operation=%s failed", operation)
            return _refusal(ApiError("InternalServerException", repr(error)))

    async def health(request: Request) -> Response:
        await run_in_threadpool(check_health)
        return answer(200, {"status": "ok"})

    routes = [Route("/", operate, methods=["POST"]), Route("/health", health), *pages]
    return Starlette(routes=routes, middleware=OWN_PAGES)


def page(path: str, describe: Callable[[str], dict[str, Any]]) -> Route:
    """Returns a route that shows the result of `describe` for the name in the path, like a page of the AWS console."""

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            found = await run_in_threadpool(describe, name)
        except ApiError as error:
            return HTMLResponse(
                _PAGE.format(title=escape(name), rows=f"<tr><td>{escape(error.message)}</td></tr>"), 404
            )
        rows = "".join(
            f"<tr><th>{escape(key)}</th><td><pre>{escape(value if isinstance(value, str) else json.dumps(value, indent=2))}"
            "</pre></td></tr>"
            for key, value in found.items()
        )
        return HTMLResponse(_PAGE.format(title=escape(name), rows=rows))

    return Route(path, show)


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>:root{{color-scheme:light dark}}body{{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}}
table{{border-collapse:collapse;width:100%}}th,td{{text-align:left;vertical-align:top;padding:.4rem .8rem;
border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}}th{{white-space:nowrap;font-weight:600}}
pre{{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.5 ui-monospace,monospace}}</style>
<h1>{title}</h1><table>{rows}</table></html>"""


def answer(status: int, body: Mapping[str, Any]) -> Response:
    headers = {"x-amzn-RequestId": str(uuid.uuid4())}
    if status != 200:
        headers["x-amzn-ErrorType"] = str(body["__type"])
    return Response(json.dumps(body), status, headers, "application/x-amz-json-1.1")
