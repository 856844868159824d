"""Requests of the tests of whole stacks: a busy machine may answer late, and a TLS context a request costs more than the request."""

import ssl
from functools import partial

import httpx

_GIVEN = {"timeout": 60, "verify": ssl.create_default_context()}
get, post, patch = (partial(method, **_GIVEN) for method in (httpx.get, httpx.post, httpx.patch))
