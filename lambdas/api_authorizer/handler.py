"""Lambda api_authorizer: says whose key came as x-api-key and what it may do. HTTP APIs have no API keys of their own."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import boto3
from botocore.config import Config
from ecommerce_events.failures import values_withheld
from logic import Known, known_of, name_of

log = logging.getLogger()
log.setLevel(logging.INFO)

SECRET = os.environ["API_KEYS_SECRET"]
# API Gateway remembers an answer for 30 s more (AuthorizerResultTtlInSeconds), so a revoked key ends within a minute.
KEPT_SECONDS = 30
# A key that is not known may be a new one; but nobody can make this function ask for the secret all the time.
ASKED_AGAIN_SECONDS = 2
secrets = boto3.client(
    "secretsmanager", config=Config(connect_timeout=2, read_timeout=2, retries={"mode": "standard", "max_attempts": 2})
)
_read_at, _known = 0.0, dict[str, Known]()


def _keys(kept_seconds: float) -> dict[str, Known]:
    """Returns the known keys, not older than that. Without an answer nobody is let in: a key may have been revoked."""
    global _read_at, _known
    now = time.time()  # a clock that goes on while the function is frozen
    if not 0 <= now - _read_at < kept_seconds:
        _known = known_of(secrets.get_secret_value(SecretId=SECRET)["SecretString"])
        _read_at = now
    return _known


@values_withheld
def handler(request: dict[str, Any], context: object) -> dict[str, Any]:
    """Returns API Gateway's simple response; its context reaches the functions of the API and the access log."""
    headers = {name.lower(): value for name, value in (request.get("headers") or {}).items()}
    key = headers.get("x-api-key", "")
    known = _keys(KEPT_SECONDS)
    name = name_of(key, known)
    if name is None and key:
        known = _keys(ASKED_AGAIN_SECONDS)
        name = name_of(key, known)
    log.info("key=%s known=%s", name, name is not None)
    if name is None:
        return {"isAuthorized": False}
    return {"isAuthorized": True, "context": {"key": name, "may": ",".join(known[name].may)}}
