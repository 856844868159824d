"""Event times over a day: few events at night, a peak at noon and another one in the evening."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random

Moments = Callable[[Random, datetime, int], Iterator[datetime]]
# Relative number of events by hour of the day, UTC.
BY_HOUR = (2, 1, 1, 1, 1, 2, 4, 8, 14, 20, 26, 30, 32, 30, 26, 24, 22, 20, 22, 26, 28, 22, 12, 5)


def moments(random: Random, start: datetime, per_day: int) -> Iterator[datetime]:
    """Yields ascending times without end, about `per_day` per day, in whole seconds."""
    scale = per_day / sum(BY_HOUR)
    moment = start
    while True:
        per_second = BY_HOUR[moment.hour] * scale / 3600
        moment += timedelta(seconds=max(1, round(random.expovariate(per_second))))
        yield moment


def present(random: Random, start: datetime, per_day: int) -> Iterator[datetime]:
    """Yields the current time in whole seconds, without end, for events that are sent as they happen."""
    while True:
        yield datetime.now(UTC).replace(microsecond=0)
