"""Users of QuickSight with an IAM identity."""

from __future__ import annotations

import uuid
from typing import Any

from local.protocol import ApiError
from local.quicksight.state import State, described

NAMESPACE = "default"  # the namespace that every account has


class Users:
    """The users of one account."""

    def __init__(self, state: State) -> None:
        self.state = state

    def register_user(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_namespace(r)
        if r["IdentityType"] != "IAM" or "IamArn" not in r:
            raise ApiError(
                "InvalidParameterValueException",
                "the stand-in registers users of IdentityType IAM with an IamArn; others are invited by mail",
            )
        kind, _, identity = r["IamArn"].rpartition(":")[2].partition("/")
        if kind == "role" and "SessionName" not in r:
            raise ApiError("InvalidParameterValueException", "SessionName: expected with the ARN of a role")
        name = f"{identity.rpartition('/')[2]}/{r['SessionName']}" if kind == "role" else identity.rpartition("/")[2]
        user = {
            "Arn": f"arn:aws:quicksight:us-east-1:{self.state.account}:user/{NAMESPACE}/{name}",
            "UserName": name,
            "Email": r["Email"],
            "Role": r["UserRole"],
            "IdentityType": "IAM",
            "Active": True,
        }
        with self.state.lock:
            if name in self.state.users:
                raise ApiError("ResourceExistsException", f"user {name} exists already", ResourceType="USER")
            self.state.users[name] = user
            self.state.save()
        return described("User", user) | {"Status": 201}

    def describe_user(self, r: dict[str, Any]) -> dict[str, Any]:
        return described("User", self._user(r))

    def delete_user(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.state.lock:
            del self.state.users[self._user(r)["UserName"]]
            self.state.save()
        return {"RequestId": str(uuid.uuid4()), "Status": 200}

    def list_users(self, r: dict[str, Any]) -> dict[str, Any]:
        """Lists the registered users. On AWS the subscriber is also a user; the local QuickSight has none."""
        self._check_namespace(r)
        token, size = r.get("NextToken", "0"), r.get("MaxResults", 100)
        if not token.isdecimal():
            raise ApiError("InvalidNextTokenException", "NextToken: expected the one of an answer of ListUsers")
        start, names = int(token), sorted(self.state.users)
        out = described("UserList", [self.state.users[name] for name in names[start : start + size]])
        return out | ({"NextToken": str(start + size)} if start + size < len(names) else {})

    def _check_namespace(self, r: dict[str, Any]) -> None:
        self.state.check_account(r)
        if r["Namespace"] != NAMESPACE:
            raise ApiError(
                "ResourceNotFoundException",
                f"namespace {r['Namespace']} is not found: the stand-in has {NAMESPACE}",
                ResourceType="NAMESPACE",
            )

    def _user(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_namespace(r)
        if r["UserName"] not in self.state.users:
            raise ApiError("ResourceNotFoundException", f"user {r['UserName']} is not found", ResourceType="USER")
        return self.state.users[r["UserName"]]
