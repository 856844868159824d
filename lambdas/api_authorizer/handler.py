"""Lambda api_authorizer: identifies the API key in x-api-key and returns its rights.

HTTP APIs of API Gateway have no API keys of their own.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import boto3
from botocore.config import Config
from ecommerce_events.failures import values_withheld

from lambdas.api_authorizer.logic import Known, known_of, name_of

log = logging.getLogger()
log.setLevel(logging.INFO)

SECRET = os.environ["API_KEYS_SECRET"]
# API Gateway caches a response for another 30 s (AuthorizerResultTtlInSeconds), so a revoked key ends within a minute.
KEPT_SECONDS = 30
# An unknown key may be new, so the secret is read again. The limit keeps callers from causing a read with each request.
ASKED_AGAIN_SECONDS = 2
secrets = boto3.client(
    "secretsmanager", config=Config(connect_timeout=2, read_timeout=2, retries={"mode": "standard", "max_attempts": 2})
)
_read_at, _known = 0.0, dict[str, Known]()


def _keys(kept_seconds: float) -> dict[str, Known]:
    """Returns the known keys, read at most `kept_seconds` ago.

    If Secrets Manager does not answer, the error refuses every caller, because a key may have been revoked.
    """
    global _read_at, _known
    now = time.time()  # a clock that continues while the function is frozen
    if not 0 <= now - _read_at < kept_seconds:
        _known = known_of(secrets.get_secret_value(SecretId=SECRET)["SecretString"])
        _read_at = now
    return _known


@values_withheld
def handler(request: dict[str, Any], context: object) -> dict[str, Any]:
    """Returns API Gateway's simple response. Its context reaches the functions of the API and the access log."""
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
