"""Waiting between attempts: exponential backoff with full jitter (AWS Architecture Blog, 2015)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import SystemRandom
from typing import Any

_random = SystemRandom()


def attempts(count: int, *, first: float = 0.05, longest: float = 2.0, deadline: float = float("inf")) -> Iterator[int]:
    """Yields the attempts 0, 1, ... and waits before each but the first, longer each time.

    The attempts end after `count`, or before a wait that would pass the deadline.

    Args:
        count: maximum number of attempts.
        first: upper limit of the first wait, in seconds.
        longest: upper limit of any wait, in seconds.
        deadline: the value of time.monotonic() at which attempts end.
    """
    for attempt in range(count):
        if attempt:
            wait = _random.uniform(0, min(longest, first * 2 ** (attempt - 1)))
            if time.monotonic() + wait > deadline:
                return
            time.sleep(wait)
        yield attempt


def deadline_of(context: Any, reserve_seconds: float) -> float:
    """Returns the time.monotonic() at which an invocation must stop retrying, to have time left for its response."""
    left = context.get_remaining_time_in_millis() / 1000 if context else 30.0
    return time.monotonic() + max(0.0, left - reserve_seconds)
