"""Who calls the HTTP API and what that caller may do, as API Gateway tells the functions behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

SEND, READ, CORRECT = RIGHTS = ("send", "read", "correct")


@dataclass(frozen=True)
class Caller:
    """The name of a key, or the ARN of an IAM principal, with its rights."""

    name: str
    may: frozenset[str]

    def lacks(self, right: str) -> str:
        """Returns a sentence that names the missing right, or nothing where the caller has it."""
        if right in self.may:
            return ""
        has = ", ".join(known for known in RIGHTS if known in self.may) or "nothing"
        return f"the key {self.name} may not {right}; it may {has}"


def caller_of(request: Mapping[str, Any], correctors: Collection[str] = ()) -> Caller:
    """Returns the caller of a request, payload format 2.0. One that no authorizer has seen may do nothing.

    Args:
        request: has what `api_authorizer` said in requestContext.authorizer.lambda, or the IAM principal in .iam. IAM's own
            policies say who may send and read: they are routes.
        correctors: ARNs of IAM principals that may also correct.
    """
    authorizer = request.get("requestContext", {}).get("authorizer") or {}
    if known := authorizer.get("lambda"):
        return Caller(str(known["key"]), frozenset(str(known["may"]).split(",")))
    if iam := authorizer.get("iam"):
        principal = _principal(str(iam["userArn"]))
        return Caller(principal, frozenset({SEND, READ} | ({CORRECT} if principal in correctors else set())))
    return Caller("none", frozenset())


def _principal(arn: str) -> str:
    """Returns the ARN without the name of the session, which changes with each of them."""
    return arn.rsplit("/", 1)[0] if ":assumed-role/" in arn else arn
