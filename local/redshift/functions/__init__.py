"""Redshift's functions by name, with their types and DuckDB's expressions. Other functions are refused by name."""

from __future__ import annotations

from local.redshift.functions import (
    aggregates,
    conditions,
    hashes,
    numbers,
    semistructured,
    strings,
    system,
    times,
    varbytes,
)
from local.redshift.functions.call import Call, Function

_CHAPTERS = (strings, numbers, times, aggregates, conditions, semistructured, system, hashes, varbytes)
FUNCTIONS: dict[str, Function] = {name: made for chapter in _CHAPTERS for name, made in chapter.FUNCTIONS.items()}

__all__ = ["FUNCTIONS", "Call", "Function"]
