"""What the stand-in keeps of a QuickSight account, in a file that is written after each change."""

from __future__ import annotations

import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from local.protocol import ApiError

KINDS = ("data-source", "data-set", "analysis", "dashboard")


class State:
    """The resources by kind and id, the ingestions by data set and id, and the users by name."""

    def __init__(self, file: Path, account: str) -> None:
        self.file, self.account = file, account
        self.lock = threading.RLock()
        self.kept: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self.ingestions: dict[str, dict[str, Any]] = {}
        self.users: dict[str, dict[str, Any]] = {}
        if file.exists():
            state = json.loads(file.read_text())
            self.kept, self.ingestions, self.users = state["kept"], state["ingestions"], state.get("users", {})

    def save(self) -> None:
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps({"kept": self.kept, "ingestions": self.ingestions, "users": self.users}))
        part.replace(self.file)

    def arn(self, kind: str, name: str) -> str:
        folder = {"data-source": "datasource", "data-set": "dataset"}.get(kind, kind)
        return f"arn:aws:quicksight:us-east-1:{self.account}:{folder}/{name}"

    def check_account(self, r: dict[str, Any]) -> None:
        if r["AwsAccountId"] != self.account:
            raise ApiError("AccessDeniedException", f"AwsAccountId {r['AwsAccountId']} is not the caller's account")

    def get(self, kind: str, name: str) -> dict[str, Any]:
        if name not in self.kept[kind]:
            raise ApiError("ResourceNotFoundException", f"{kind} {name} is not found", ResourceType=kind.upper())
        return dict(self.kept[kind][name])

    def put(self, kind: str, member: str, r: dict[str, Any], *, new: bool) -> dict[str, Any]:
        """Stores the request as the resource and returns the members that all responses have."""
        self.check_account(r)
        name = r[member]
        with self.lock:
            if new and name in self.kept[kind]:
                raise ApiError("ResourceExistsException", f"{kind} {name} exists already", ResourceType=kind.upper())
            before = {} if new else self.get(kind, name)
            now = time.time()
            kept = {k: v for k, v in r.items() if k != "AwsAccountId"}
            self.kept[kind][name] = (
                before
                | kept
                | {
                    "Arn": self.arn(kind, name),
                    "LastUpdatedTime": now,
                    "CreatedTime": before.get("CreatedTime", now),
                }
            )
            self.save()
        return {"Arn": self.arn(kind, name), member: name, "RequestId": str(uuid.uuid4())}


def described(member: str, value: Any) -> dict[str, Any]:
    return {member: value, "Status": 200, "RequestId": str(uuid.uuid4())}
