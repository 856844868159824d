"""The whole cleaning of one feed as queries: typing, the feed's own SQL, and the duplicates within the batch."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from sqlglot import exp, parse_one

from ecommerce_elt.cleaning.snippets import DIALECT
from ecommerce_elt.cleaning.typing_sql import rounded_relation, typed_relation
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract

# The columns that the load needs for every feed.
ALWAYS = ("event_id", "event_time", "event_version", "source_object", "source_line", "reasons")


# Only few event ids occur more than once, so only these are ranked.
RANKS = """
WITH repeated AS (
    SELECT event_id FROM judged GROUP BY event_id HAVING COUNT(*) > 1
), versions AS (
    SELECT
        judged.event_id,
        event_version,
        source_object,
        source_line,
        ARRAY_LENGTH(reasons) = 0 AS is_good,
        CASE
            WHEN ARRAY_LENGTH(reasons) = 0 THEN 0
            WHEN event_version <= MAX(CASE WHEN ARRAY_LENGTH(reasons) = 0 THEN event_version END)
                OVER (PARTITION BY judged.event_id) THEN 0
            ELSE event_version
        END AS rejected_version
    FROM judged
    JOIN repeated ON judged.event_id IS NOT DISTINCT FROM repeated.event_id
)
SELECT
    source_object,
    source_line,
    rejected_version,
    ROW_NUMBER() OVER (
        PARTITION BY event_id, rejected_version
        ORDER BY CASE WHEN is_good THEN 0 ELSE 1 END, event_version DESC, source_object, source_line
    ) AS copy_number
FROM versions
"""
CLEANED = """
SELECT
    judged.*,
    COALESCE(rejected_version, CASE WHEN ARRAY_LENGTH(reasons) = 0 THEN 0 ELSE event_version END) AS rejected_version,
    COALESCE(copy_number, 1) AS copy_number
FROM judged
LEFT JOIN ranks ON judged.source_object = ranks.source_object AND judged.source_line = ranks.source_line
"""


def cleaning_stages(contract: Contract, clean_sql: str) -> dict[str, exp.Query]:
    """Returns the whole cleaning of one feed: typing, the feed's own SQL, and the duplicates within the batch.

    Args:
        contract: the feed's contract.
        clean_sql: text of `include/sql/clean/<feed>.sql`, a SELECT from `typed`.

    Returns:
        The queries by name, in the order in which they run. Each reads the ones before it, and the first reads
        `events`. `judged` is the result of `clean_sql`, and `ranks` has the events whose id repeats. Both must be
        materialized, because later queries read them more than once. If the contract rounds, `rounded` has the
        source_object and source_line of events with a rounded value, and must be materialized as well.

        `cleaned` has the columns of `judged`, `rejected_version` and `copy_number`, which is 1 for the copy of an event
        id that counts and 2 or more for duplicates. Among events that break no rule, the highest version counts, and
        within that version the first in order of arrival. An event that breaks a rule is a duplicate if there is a good
        one of the same or a higher version. Otherwise, it is rejected, once per version.

    Raises:
        PermanentError: `clean_sql` is not one SELECT, or lacks a column that every feed needs.
    """
    clean = parse_one(clean_sql, read=DIALECT)
    if not isinstance(clean, exp.Query):
        raise PermanentError(f"include/sql/clean/{contract.feed}.sql: expected one SELECT, found {clean.key.upper()}")
    needed = {*ALWAYS, *(["extra"] if contract.unknown_keys == "keep" else [])}
    if missing := sorted(needed - {*clean.named_selects}):
        raise PermanentError(f"include/sql/clean/{contract.feed}.sql: select {', '.join(missing)} of typed, too")
    later = {name: parse_one(sql, read=DIALECT) for name, sql in (("ranks", RANKS), ("cleaned", CLEANED))}
    judged = exp.select("*").from_("clean_events").with_("typed", typed_relation(contract)).with_("clean_events", clean)
    rounded = rounded_relation(contract)
    return {**({"rounded": rounded} if rounded else {}), "judged": judged, **later}


def cleaning_sql(contract: Contract, clean_sql: str) -> dict[str, str]:
    """Returns `cleaning_stages` as DuckDB's SQL, rendered once per process for each contract and SQL."""
    return dict(_rendered(contract.model_dump_json(), clean_sql))


@lru_cache(maxsize=256)
def _rendered(contract: str, clean_sql: str) -> tuple[tuple[str, str], ...]:
    stages = cleaning_stages(Contract.model_validate_json(contract), clean_sql)
    return tuple((name, query.sql(DIALECT)) for name, query in stages.items())


def cleaned_by(contract: Contract, clean_sql: str) -> str:
    """Returns the version of a feed's cleaning, a hash of the contract's typing and of the feed's SQL."""
    return hashlib.sha256(cleaning_sql(contract, clean_sql)["judged"].encode()).hexdigest()[:16]
