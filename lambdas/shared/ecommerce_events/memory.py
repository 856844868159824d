"""Frequency of Python's cyclic garbage collection: a record creates dozens of objects, none of them in a cycle."""

from __future__ import annotations

import gc

OBJECTS_BETWEEN_COLLECTIONS = 100_000


def collect_seldom() -> None:
    """Makes Python run the garbage collector about a hundred times less often than by default."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 20, 20)
