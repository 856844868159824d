"""The first half of the cleaning step: generates the relation `typed` from a contract.

`typed` has one row per event, with each column of the contract cast to its type. `reasons` lists every rule that the
event breaks as (column_name, rule, expected). The query is built as a sqlglot tree from DuckDB snippets, so that every
engine to which sqlglot translates runs the same definition. The second half is `include/sql/clean/<feed>.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from sqlglot import exp

from ecommerce_elt.batches.manifests import WITHDRAWN
from ecommerce_elt.cleaning.rule_sql import reason, rules, unknown_keys
from ecommerce_elt.cleaning.snippets import DIALECT, sql
from ecommerce_elt.cleaning.value_sql import is_shaped, is_too_fine, plain_text, shape_of, source_text, typed_value
from ecommerce_elt.feeds.contracts import Column, Contract

LINEAGE = ["event_id", "event_version", "schema_version", "extra", "source_object", "source_line"]
CANONICAL_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def _sent(contract: Contract, column: Column) -> exp.Expr:
    """Returns the value as it was sent.

    For the event time, this is the time in the envelope if there is one, because the sender may have parsed the
    source's own format.
    """
    value = source_text(column, contract.known_keys)
    return exp.func("COALESCE", exp.column("event_time"), value) if column.name == contract.event_time else value


def _texts(contract: Contract, sources: Iterable[tuple[Column, exp.Expr]], lineage: list[str]) -> dict[str, exp.Select]:
    """Returns the queries that create `raw` by name, the first over `events`.

    `raw` has the text of each column in its plain form as `raw_<name>`. If the type has a plain form, `plain_<name>` is
    true for a value that was sent in it.

    Args:
        contract: the contract.
        sources: each column with its text over `events`.
        lineage: columns of `events` to pass on.
    """
    source, plain = exp.select(*lineage).from_("events"), exp.select(*lineage).from_("source")
    raw = exp.select(*lineage).from_("plain")
    for column, value in sources:
        # copy=False, because copying the query for each of hundreds of columns would take longer than the rest.
        sent = exp.column(f"sent_{column.name}")
        source.select(exp.alias_(value, sent.name, copy=False), copy=False)
        plain.select(sent, copy=False)
        raw.select(exp.alias_(plain_text(column, contract, sent), f"raw_{column.name}", copy=False), copy=False)
        if shape := shape_of(column):
            is_plain = sql("REGEXP_MATCHES($sent, $re)", sent=sent, re=shape)
            plain.select(exp.alias_(is_plain, f"plain_{column.name}", copy=False), copy=False)
            raw.select(f"plain_{column.name}", copy=False)
    return {"source": source, "plain": plain, "raw": raw}


def _over(query: exp.Select, relations: dict[str, exp.Select]) -> exp.Select:
    """Returns the query with the relations that it reads as CTEs, each of which reads the one before."""
    for name, relation in relations.items():
        query = query.with_(name, relation)
    return query


def rounded_relation(contract: Contract) -> exp.Select | None:
    """Returns the query over `events` for events with a rounded value, or None if the contract rounds no column."""
    columns = [column for column in contract.columns if column.round]
    if not columns:
        return None
    keys = ["source_object", "source_line", "schema_version"]
    texts = _texts(contract, [(column, _sent(contract, column)) for column in columns], keys)
    is_rounded = exp.or_(*(is_too_fine(column, exp.column(f"raw_{column.name}"), contract) for column in columns))
    return _over(exp.select(*keys[:2]).from_("raw").where(is_rounded), texts)


def typed_relation(contract: Contract) -> exp.Select:
    """Returns the query of `typed` over the relation `events`.

    `events` has event_id and event_time (text), event_version (from 1), schema_version (version of the contract that
    the sender followed), data (list of texts with the values of the contract's `known_keys`, in their order), extra
    (text of a JSON object with the keys that the contract does not know, or NULL), source_object and source_line.

    `typed` has event_id, event_time (TIMESTAMP, UTC), event_version, schema_version, each column of the contract,
    extra, source_object, source_line and reasons.
    """
    texts = _texts(contract, [(column, _sent(contract, column)) for column in contract.columns], LINEAGE)
    cast, ruled = exp.select(*LINEAGE).from_("raw"), exp.select("*").from_("cast_events")
    broken: list[tuple[str, str, str | exp.Expr, exp.Expr]] = []
    for column in contract.columns:
        cast.select(f"raw_{column.name}", exp.alias_(typed_value(column), column.name), copy=False)
        if shape_of(column):
            cast.select(exp.alias_(is_shaped(column), f"_shaped_{column.name}"), copy=False)
        broken += [(column.name, *rule) for rule in rules(column, contract)]
    broken.append(unknown_keys(contract))

    # Most events break no rule, so the list is built only for those that do. The check is a separate relation before
    # it. In one relation, an engine that eliminates common subexpressions would compute the list for every row. A
    # withdrawal only names an event, so it breaks no rule.
    is_kept = sql("source_object NOT LIKE $withdrawn", withdrawn=exp.Literal.string(WITHDRAWN))
    is_broken = exp.and_(exp.or_(*(condition for *_, condition in broken)), is_kept)
    # In a CASE, DuckDB stops once the result is known. It computes all parts of an OR that is a column.
    ruled.select(exp.alias_(exp.Case().when(is_broken, exp.true()).else_(exp.false()), "_is_broken"), copy=False)
    listed = sql(
        "CASE WHEN _is_broken THEN LIST_FILTER($all, LAMBDA reason : reason IS NOT NULL) ELSE [] END",
        all=exp.Array(expressions=[reason(*rule) for rule in broken]),
    )
    typed = exp.select(*LINEAGE, *(c.name for c in contract.columns))
    if contract.event_time != "event_time":
        typed = typed.select(exp.alias_(exp.column(contract.event_time), "event_time"))
    typed = typed.select(exp.alias_(listed, "reasons")).from_("ruled_events")
    return _over(typed, {**texts, "cast_events": cast, "ruled_events": ruled})


def canonical_sql(contract: Contract, keys: Sequence[str]) -> str:
    """Returns DuckDB's SQL for the canonical texts of the contract's identity columns, over the relation `events`.

    `events` has number, unassigned, event_time (canonical text of the envelope's time, or NULL), schema_version, and
    data as in `typed_relation`, except for the order of the values. The query returns number, unassigned and the list
    `canonical`. A value that the typing accepts has the same canonical text in whatever way it was written. A value
    that it rejects keeps its own text. A missing value is NULL.

    Args:
        contract: the contract.
        keys: keys of the values in `data`, in their order.
    """
    return _canonical(contract.model_dump_json(), tuple(keys))


@lru_cache(maxsize=256)
def _canonical(contract_json: str, keys: tuple[str, ...]) -> str:
    contract, lineage = (
        Contract.model_validate_json(contract_json),
        ["number", "unassigned", "event_time", "schema_version"],
    )
    columns = [contract.column(name) for name in contract.identity]
    sent, texts = [], []
    for column in columns:
        value = source_text(column, keys)
        if column.name == contract.event_time:
            value = sql("CASE WHEN event_time IS NULL THEN $value END", value=value)
            texts.append(exp.func("COALESCE", exp.column("event_time"), _canonical_text(column, contract)))
        else:
            texts.append(_canonical_text(column, contract))
        sent.append((column, value))
    canonical = exp.select(*lineage[:2], exp.alias_(exp.Array(expressions=texts), "canonical")).from_("raw")
    return str(_over(canonical, _texts(contract, sent, lineage)).sql(DIALECT))


def _canonical_text(column: Column, contract: Contract) -> exp.Expr:
    raw = exp.column(f"raw_{column.name}")
    if column.type in {"string", "identifier"}:
        return raw
    shown = f"STRFTIME($typed, '{CANONICAL_TIME}')" if column.type == "timestamp" else "CAST($typed AS VARCHAR)"
    taken = exp.func("COALESCE", sql(shown, typed=typed_value(column)), raw)
    if column.decimal and not column.round:  # the cast would round a value that the rules reject
        return exp.Case().when(is_too_fine(column, raw, contract), raw).else_(taken)
    return taken
