"""Rewrites PIVOT and UNPIVOT in a FROM clause to the equivalent queries.

Source: Redshift Developer Guide, FROM clause, "PIVOT and UNPIVOT examples" with its usage notes.
"""

from __future__ import annotations

from sqlglot import exp

from local.redshift.errors import SqlError, unsupported

_AGGREGATES = {"COUNT", "SUM", "MIN", "MAX", "AVG"}
_SOURCE = "pivoted__"


def source_of(node: exp.Expr) -> exp.Select:
    """Returns a separate query of all rows of the pivoted source.

    Raises:
        SqlError: The source is a join, or is pivoted twice.
    """
    if len(node.args["pivots"]) != 1 or node.args.get("joins"):
        raise SqlError("ERROR: PIVOT and UNPIVOT are not supported for joins, PIVOT or UNPIVOT")
    bare = node.copy()
    bare.set("pivots", None)
    if isinstance(bare, exp.Subquery) and not bare.alias:
        bare.set("alias", exp.TableAlias(this=exp.to_identifier(_SOURCE)))
    return exp.select("*").from_(bare)


def rewritten(node: exp.Expr, columns: list[str]) -> exp.Subquery:
    """Returns the query that is equivalent to PIVOT or UNPIVOT.

    Args:
        columns: names of the columns of the source; those that the clause does not name come first in the result.
    """
    pivot = node.args["pivots"][0]
    [field] = pivot.args["fields"] if len(pivot.args["fields"]) == 1 else [None]
    if not isinstance(field, exp.In) or field.args.get("field") or pivot.args.get("group"):
        raise unsupported("PIVOT but for FOR column IN (values)")
    source = exp.CTE(this=source_of(node), alias=exp.TableAlias(this=exp.to_identifier(_SOURCE, quoted=True)))
    made = _unpivoted(pivot, field, columns) if pivot.args.get("unpivot") else _pivoted(pivot, field, columns)
    made.set("with_", exp.With(expressions=[source]))
    alias = pivot.args.get("alias")
    name = alias.name if alias else node.alias or _SOURCE
    given = list(alias.columns) if alias else []
    return exp.Subquery(this=made, alias=exp.TableAlias(this=exp.to_identifier(name), columns=given))


def _known(name: str, columns: list[str]) -> str:
    if name.lower() not in columns:
        raise SqlError(f'ERROR: column "{name.lower()}" does not exist')
    return name.lower()


def _value(item: exp.Expr) -> tuple[exp.Expr, str]:
    """Returns an item of IN and the name of its column."""
    if isinstance(item, exp.PivotAlias):
        return item.this, str(item.args["alias"].name).lower()
    value = item.this if isinstance(item, exp.Neg) else item
    if isinstance(item, exp.Null):
        return item, "null"
    if not isinstance(value, exp.Literal):
        raise unsupported(f"PIVOT of the value {item.sql('redshift')} without an alias")
    name = item.sql("redshift") if value is not item else str(value.name)
    if name != name.lower():
        raise unsupported(f"PIVOT of the value '{name}', which has capitals, without an alias")
    return item, name


def _pivoted(pivot: exp.Expr, field: exp.In, columns: list[str]) -> exp.Select:
    if len(pivot.expressions) != 1:
        raise unsupported("PIVOT with several aggregates")
    aggregate, suffix = pivot.expressions[0], ""
    if isinstance(aggregate, exp.Alias):
        aggregate, suffix = aggregate.this, f"_{aggregate.alias.lower()}"
    if not isinstance(aggregate, exp.Anonymous) or str(aggregate.this).upper() not in _AGGREGATES:
        raise SqlError("ERROR: PIVOT supports the aggregates COUNT, SUM, MIN, MAX and AVG")
    [argument] = aggregate.expressions if len(aggregate.expressions) == 1 else [None]
    if argument is None or isinstance(argument, exp.Distinct) or argument.find(exp.Query):
        raise unsupported(f"PIVOT with {aggregate.sql('redshift')}")
    by = _known(field.this.name, columns)
    used = {by, *(_known(column.name, columns) for column in argument.find_all(exp.Column))}
    groups = [_column(name) for name in columns if name not in used]
    outputs: list[exp.Expr] = [*groups]
    for item in field.expressions:
        value, name = _value(item)
        if value.find(exp.Column, exp.Query):
            raise SqlError("ERROR: PIVOT IN values cannot be column references or subqueries")
        is_it = (
            exp.Is(this=_column(by), expression=exp.Null())
            if isinstance(value, exp.Null)
            else exp.EQ(this=_column(by), expression=value.copy())
        )
        counted = exp.Literal.number(1) if isinstance(argument, exp.Star) else argument.copy()
        case = exp.Case(ifs=[exp.If(this=is_it, true=counted)])
        call = exp.Anonymous(this=aggregate.this, expressions=[case])
        outputs.append(exp.alias_(call, name + suffix, quoted=True))
    made = exp.select(*outputs).from_(exp.to_table(_SOURCE))
    return made.group_by(*(group.copy() for group in groups)) if groups else made


def _unpivoted(pivot: exp.Expr, field: exp.In, columns: list[str]) -> exp.Expr:
    value_name, name_name = pivot.expressions[0].name.lower(), field.this.name.lower()
    items = [
        (item.this, str(item.args["alias"].name)) if isinstance(item, exp.PivotAlias) else (item, item.name.lower())
        for item in field.expressions
    ]
    if not all(isinstance(column, exp.Column) for column, _ in items) or len(pivot.expressions) != 1:
        raise SqlError("ERROR: UNPIVOT IN must contain only column references")
    used = [_known(column.name, columns) for column, _ in items]
    rest = [name for name in columns if name not in used]
    parts = []
    for name, (_, label) in zip(used, items, strict=True):
        outputs = [
            *(_column(other) for other in rest),
            exp.alias_(exp.Literal.string(label), name_name, quoted=True),
            exp.alias_(_column(name), value_name, quoted=True),
        ]
        part = exp.select(*outputs).from_(exp.to_table(_SOURCE))
        if not pivot.args.get("include_nulls"):
            part = part.where(exp.Not(this=exp.Is(this=_column(name), expression=exp.Null())))
        parts.append(part)
    made: exp.Expr = parts[0]
    for part in parts[1:]:
        made = exp.Union(this=made, expression=part, distinct=False)
    return made


def _column(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True))
