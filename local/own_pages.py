"""Keeps other web pages away from the local ports.

In a browser, any open page can send requests to 127.0.0.1. The emulator requires no password and allows every origin to
read its responses, and a page can make its own host name resolve to 127.0.0.1 (DNS rebinding). A request is therefore
served only if its host is a name of this machine, and only if the browser does not report that a page of another origin
sent it. Clients other than browsers send neither Origin nor Sec-Fetch-Site, and are not checked for them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def is_of_this_machine(host: str) -> bool:
    """Returns whether the Host header names this machine or a service of a compose file.

    Accepted are addresses of a loopback or private network, names below localhost or internal, and names without a dot.
    No page on the internet can have such a name.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        address = ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and ("." not in name or name.endswith((".localhost", ".internal")))
    return address.is_loopback or address.is_private


def refusal(headers: dict[str, str]) -> str:
    """Returns the reason why a request with these headers is refused, or an empty text if it is served."""
    host = headers.get("host", "")
    if not is_of_this_machine(host):
        return "this port is served under names of this machine alone, such as 127.0.0.1 and localhost"
    if "origin" in headers and urlsplit(headers["origin"]).netloc.lower() != host.lower():
        return "a web page of another origin sent this request"
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and not (
        headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    ):
        return "a web page of another origin sent this request"
    return ""


class OwnPagesOnly:
    """ASGI middleware that responds 403 to requests that `refusal` refuses, and hides responses from other origins."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if why := refusal(headers):
            body = f"403: {why}\n".encode()
            plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": plain})
            await send({"type": "http.response.body", "body": body})
            return
        await self.app(scope, receive, _without_any_origin(send))


def _without_any_origin(send: Send) -> Send:
    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if (name.lower(), value) != (b"access-control-allow-origin", b"*")
            ]
            message = {**message, "headers": kept}
        await send(message)

    return sent
