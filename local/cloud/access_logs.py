"""The access logs of the stages of HTTP APIs."""

from __future__ import annotations

import contextvars
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import apigateway, cloudwatch_logs

log = logging.getLogger("access-log")

Answer = tuple[int, dict[str, Any], bytes]

_CONTEXT_VARIABLE = re.compile(r"\$context\.([A-Za-z0-9_.]+)")
_in_request: contextvars.ContextVar[dict[str, str] | None] = contextvars.ContextVar("in_request", default=None)


def with_access_log(execute: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    """Returns the handler of a request to an HTTP API, which then writes a line to the stage's access log.

    Source: API Gateway developer guide, "Customize HTTP API access logs". A variable without a value is "-", as on AWS.
    """

    async def call(api_id: str, stage: str, path: str, method: str, *more: Any) -> Answer:
        started = time.monotonic()
        said = {"requestId": new_uuid(), "httpMethod": method, "path": path, "stage": stage, "apiId": api_id}
        token = _in_request.set(said)
        try:
            answer = await execute(api_id, stage, path, method, *more)
        finally:
            _in_request.reset(token)
        settings = (apigateway._stages.get(api_id, {}).get(stage) or {}).get("accessLogSettings") or {}
        if settings.get("destinationArn") and settings.get("format"):
            route = apigateway._match_route(api_id, method, "/" + path.lstrip("/"))
            said |= {
                "routeKey": route["routeKey"] if route else "-",
                "status": str(answer[0]),
                "responseLatency": f"{1000 * (time.monotonic() - started):.0f}",
                "responseLength": str(len(answer[2])),
            }
            _write_access_log(settings, f"{api_id}_{stage.strip('$')}", said)
        return answer

    return call


def _write_access_log(settings: dict[str, str], stream: str, said: dict[str, str]) -> None:
    line = _CONTEXT_VARIABLE.sub(lambda variable: said.get(variable[1], "-"), settings["format"])
    at = {
        "logGroupName": settings["destinationArn"].split(":log-group:")[-1].removesuffix(":*"),
        "logStreamName": stream,
    }
    event = {"timestamp": int(time.time() * 1000), "message": line}
    cloudwatch_logs._create_log_stream(at)  # refused if it exists
    status, _, body = cloudwatch_logs._put_log_events(at | {"logEvents": [event]})
    if status != 200:
        log.error("access log of %s: %s", stream, body)


def remembering_authorizer(authorize: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Returns the authorizer, which also adds its context to the access log as $context.authorizer.KEY."""

    async def call(*about: Any) -> Any:
        error, context = await authorize(*about)
        said = _in_request.get()
        if said is not None:
            said |= {f"authorizer.{key}": str(value) for key, value in (context or {}).items()}
        return error, context

    return call


def request_id() -> str:
    """Returns the id of the current request, which the function's event and the access log share, or else a new id."""
    said = _in_request.get()
    return said["requestId"] if said is not None else new_uuid()
