"""Tables of DynamoDB: saved after each change of a table, and the same results in less time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from ministack.core import persistence
from ministack.services import dynamodb


def uncopied(get_state: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Returns `get_state` without copying the items, because copying takes longer than writing them."""

    def call() -> dict[str, Any]:
        dynamodb.copy = SimpleNamespace(deepcopy=lambda value: value)
        try:
            return get_state()
        finally:
            dynamodb.copy = copy

    return call


def then_saved(function: Callable[[dict], Any]) -> Callable[[dict], Any]:
    """Returns the operation followed by a save, so a table exists after a kill, without items written since."""

    def call(data: dict) -> Any:
        answer = function(data)
        persistence.save_state("dynamodb", dynamodb.get_state())
        return answer

    return call


def remembered(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns the same pure function with a cache of its results for texts."""
    cached = lru_cache(1 << 16)(function)
    return lambda value: cached(value) if isinstance(value, str) else function(value)


def item_size(item: Any) -> int:
    """Returns the size of an item in bytes by DynamoDB's rules, like MiniStack, with a faster path for text values."""
    if not isinstance(item, dict):
        return 0
    total = 0
    for name, value in item.items():
        text = value.get("S") if isinstance(value, dict) and len(value) == 1 else None
        total += len(name) if name.isascii() else len(name.encode("utf-8"))
        if isinstance(text, str):
            total += len(text) if text.isascii() else len(text.encode("utf-8"))
        else:
            total += dynamodb._attribute_value_size(value)
    return total
