"""The caller of the HTTP API and its rights, read from the request context that API Gateway passes to a function."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

SEND, READ, CORRECT = RIGHTS = ("send", "read", "correct")


@dataclass(frozen=True)
class Caller:
    """A caller of the HTTP API and its rights.

    Attributes:
        name: the name of an API key, or the ARN of an IAM principal.
        may: the rights of the caller, out of RIGHTS.
    """

    name: str
    may: frozenset[str]

    def lacks(self, right: str) -> str:
        """Returns a sentence that names the missing right, or an empty text if the caller has the right."""
        if right in self.may:
            return ""
        has = ", ".join(known for known in RIGHTS if known in self.may) or "nothing"
        return f"the key {self.name} may not {right}; it may {has}"


def caller_of(request: Mapping[str, Any], correctors: Collection[str] = ()) -> Caller:
    """Returns the caller of a request in payload format 2.0.

    A request that passed no authorizer has a caller without rights.

    Args:
        request: carries the answer of `api_authorizer` in requestContext.authorizer.lambda, or the IAM principal in
            requestContext.authorizer.iam. An IAM principal may send and read, because its IAM policies already limit
            the routes that it may call.
        correctors: ARNs of the IAM principals that may also correct events.
    """
    authorizer = request.get("requestContext", {}).get("authorizer") or {}
    if known := authorizer.get("lambda"):
        return Caller(str(known["key"]), frozenset(str(known["may"]).split(",")))
    if iam := authorizer.get("iam"):
        principal = _principal(str(iam["userArn"]))
        return Caller(principal, frozenset({SEND, READ} | ({CORRECT} if principal in correctors else set())))
    return Caller("none", frozenset())


def _principal(arn: str) -> str:
    """Returns the ARN of a principal without the session name, which differs from session to session."""
    return arn.rsplit("/", 1)[0] if ":assumed-role/" in arn else arn
