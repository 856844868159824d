"""How often Python looks for cycles: each record makes dozens of objects, none of them in a cycle."""

from __future__ import annotations

import gc

OBJECTS_BETWEEN_COLLECTIONS = 100_000


def collect_seldom() -> None:
    """Makes Python collect a hundredth as often as it does by itself."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 20, 20)
