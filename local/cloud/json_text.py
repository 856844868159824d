"""JSON as text, written by orjson if the result has the same value."""

from __future__ import annotations

import json
from typing import Any

import orjson


def json_text(value: Any, **options: Any) -> str:
    """Returns the value as JSON like json.dumps, except for the spaces between tokens and the escapes."""
    if not options or options == {"ensure_ascii": False}:
        try:
            return orjson.dumps(value).decode()
        except TypeError:  # only json writes keys that are not text, integers above 64 bits, and lone surrogates
            return json.dumps(value, **options)
    return json.dumps(value, **options)
