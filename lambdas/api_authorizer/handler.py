"""Lambda api_authorizer: lets in who sends a known key as x-api-key. HTTP APIs have no API keys of their own."""

from __future__ import annotations

import os
from typing import Any

from logic import is_known

DIGESTS = tuple(filter(None, os.environ["API_KEY_SHA256"].split(",")))


def handler(request: dict[str, Any], context: object) -> dict[str, bool]:
    """Returns API Gateway's simple response."""
    headers = {name.lower(): value for name, value in (request.get("headers") or {}).items()}
    return {"isAuthorized": is_known(headers.get("x-api-key", ""), DIGESTS)}
