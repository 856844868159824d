"""Redshift's SQL in, DuckDB's out. Refuses what DuckDB would take and Redshift does not."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, ParseError, TokenError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.tokenizer_core import Token, TokenType

from local.redshift.errors import SqlError, syntax_error, unsupported

INTEGERS = {exp.DataType.Type.SMALLINT, exp.DataType.Type.INT, exp.DataType.Type.BIGINT}
TYPES_REFUSED = {"UUID", "JSON", "JSONB", "TINYINT", "UTINYINT", "INT128", "HUGEINT", "ARRAY", "LIST", "STRUCT", "MAP",
                 "ENUM", "BLOB", "UINT", "UBIGINT", "USMALLINT"}  # fmt: skip
FUNCTIONS_REFUSED = (exp.ArrayAgg, exp.GenerateSeries, exp.ExplodingGenerateSeries, exp.Array, exp.Struct)
# Aggregates that take OVER: with ORDER BY they need a frame. Ranking functions do not.
FRAMED = (exp.Sum, exp.Avg, exp.Count, exp.Min, exp.Max, exp.FirstValue, exp.LastValue, exp.NthValue)

Types = Mapping[str, Mapping[str, str]]  # table (schema.name or name) to column to SQL type


def tokens(sql: str) -> list[Token]:
    try:
        return list(sqlglot.tokenize(sql, read="redshift"))
    except TokenError as error:
        raise SqlError(f"ERROR: unterminated quoted string: {error}") from error


def words(sql: str) -> list[str]:
    """Returns the first words of the statement in upper case, comments left out."""
    return [t.text.upper() for t in tokens(sql)[:4]]


def split_placeholders(sql: str) -> list[tuple[int, int, str]]:
    """Returns (start, end, name) of each `:name`, outside of strings and comments."""
    found: list[tuple[int, int, str]] = []
    stream = tokens(sql)
    for colon, name in itertools.pairwise(stream):
        adjacent = colon.end + 1 == name.start
        if colon.token_type is TokenType.COLON and adjacent and re.fullmatch(r"\w+", name.text):
            found.append((colon.start, name.end + 1, name.text))
    return found


def bind(sql: str, parameters: Mapping[str, str]) -> str:
    """Returns `sql` with each `:name` as a string literal, which the database casts as it needs."""
    for start, end, name in reversed(split_placeholders(sql)):
        if name in parameters:
            literal = (
                parameters[name].replace("\\", "\\\\").replace("'", "''")
            )  # a backslash escapes in Redshift's strings
            sql = f"{sql[:start]}'{literal}'{sql[end:]}"
    return sql


def strip_table_attributes(sql: str) -> str:
    """Blanks out DISTSTYLE, DISTKEY, SORTKEY, ENCODE and BACKUP, which say where rows lie and not what they are."""
    stream = tokens(sql)
    cut: list[tuple[int, int]] = []
    i = 0
    while i < len(stream):
        word = stream[i].text.upper()
        end = None
        if word in {"DISTKEY", "SORTKEY"}:
            start = i - 1 if i and stream[i - 1].text.upper() in {"COMPOUND", "INTERLEAVED"} else i
            end = i
            if i + 1 < len(stream) and stream[i + 1].token_type is TokenType.L_PAREN:
                end = next(j for j in range(i, len(stream)) if stream[j].token_type is TokenType.R_PAREN)
            elif i + 1 < len(stream) and stream[i + 1].text.upper() == "AUTO":
                end = i + 1
        elif word in {"DISTSTYLE", "ENCODE", "BACKUP"} and i + 1 < len(stream):
            start, end = i, i + 1
        if end is not None:
            cut.append((stream[start].start, stream[end].end + 1))
            i = end
        i += 1
    for start_at, end_at in reversed(cut):
        sql = sql[:start_at] + " " * (end_at - start_at) + sql[end_at:]
    return sql


def parse(sql: str) -> exp.Expr:
    """Returns the tree of one Redshift statement.

    Raises:
        SqlError: Redshift would not parse it; names what it stumbled over and the position.
    """
    text = strip_table_attributes(sql) if words(sql)[:1] == ["CREATE"] else sql
    try:
        trees = [tree for tree in sqlglot.parse(text, read="redshift") if tree is not None]
    except ParseError as error:
        detail = error.errors[0] if error.errors else {}
        near = str(detail.get("highlight") or "").strip() or "end of input"
        raise syntax_error(sql, near) from error
    if len(trees) != 1:
        raise SqlError("ERROR: cannot insert multiple commands into a prepared statement")
    tree = trees[0]
    refuse(tree, sql)
    return tree


def refuse(tree: exp.Expr, sql: str) -> None:
    """Raises SqlError for what is no Redshift SQL although sqlglot and DuckDB take it."""
    for pattern, near in _REFUSED_WORDS:
        bare = _blank_literals(sql)
        if found := re.search(pattern, bare, re.IGNORECASE):
            raise SqlError(f'ERROR: syntax error at or near "{near}"\n  Position: {found.start() + 1}')
    for node in tree.walk():
        if problem := _problem(node):
            near, pattern = problem
            raise syntax_error(sql, near, pattern)
    if isinstance(tree, exp.Merge):
        _refuse_merge(tree, sql)


_REFUSED_WORDS = [
    (r"\bON\s+CONFLICT\b", "ON"),
    (r"\bINSERT\s+OR\s+(REPLACE|IGNORE)\b", "OR"),
    (r"\bRETURNING\b", "RETURNING"),
    (r"\bBY\s+NAME\b", "BY"),
    (r"\bBY\s+SOURCE\b", "BY"),
    (r"\bIS\s+(NOT\s+)?DISTINCT\s+FROM\b", "DISTINCT"),
    (r"\bSELECT\s+DISTINCT\s+ON\b", "ON"),
    (r"\b(INTERSECT|EXCEPT|MINUS)\s+ALL\b", "ALL"),
    (r"\b(SEMI|ANTI|ASOF|POSITIONAL)\s+JOIN\b", "JOIN"),
    (r"\bSTRING_AGG\s*\(", "STRING_AGG"),
    (r"\bCREATE\s+OR\s+REPLACE\s+(TEMP\w*\s+)?TABLE\b", "TABLE"),
    (r"\bCREATE\s+(UNIQUE\s+)?INDEX\b", "INDEX"),
    (r"\bCREATE\s+(TEMP\w*\s+)?SEQUENCE\b", "SEQUENCE"),
    (r"\bCREATE\s+TYPE\b", "TYPE"),
    (r"\bADD\s+COLUMN\s+IF\s+NOT\s+EXISTS\b", "IF"),
]


def _blank_literals(sql: str) -> str:
    """Strings and comments as blanks, so that words inside them are not taken for SQL."""
    blank = lambda found: " " * len(found[0])  # noqa: E731
    return re.sub(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", blank, sql, flags=re.DOTALL)


def _problem(node: exp.Expr) -> tuple[str, str] | None:
    """Returns (the word Redshift stumbles over, how to find it) if the node is none of Redshift's grammar."""
    match node:
        case exp.Values() if isinstance(node.parent, exp.From | exp.Join | exp.Subquery) or node.args.get("alias"):
            return "VALUES", r"\bVALUES\b"
        case exp.Filter():
            return "FILTER", r"\bFILTER\b"
        case exp.CheckColumnConstraint():
            return "CHECK", r"\bCHECK\b"
        case exp.DataType() if node.this.name in TYPES_REFUSED:
            return node.this.name, rf"\b{node.this.name}\b|\["
        case exp.Window() if isinstance(node.this, FRAMED) and node.args.get("order") and not node.args.get("spec"):
            return "ORDER", r"\bOVER\s*\("
        case exp.WindowSpec() if str(node.args.get("kind")).upper() != "ROWS" or node.args.get("exclude"):
            return str(node.args.get("kind")), r"\b(RANGE|GROUPS|EXCLUDE)\b"
        case exp.Subquery() if isinstance(node.parent, exp.From | exp.Join) and not node.alias:
            return ")", r"\)"
        case exp.With() if node.recursive:
            for cte in node.expressions:
                if not cte.args["alias"].columns and cte.find(exp.Union):
                    return cte.alias, rf"\b{cte.alias}\b"
                for union in cte.find_all(exp.Union):
                    if union.args.get("distinct"):
                        return "UNION", r"\bUNION\b"
        case exp.Update() if any(j.side for j in node.find_all(exp.Join)):
            return "JOIN", r"\b(LEFT|RIGHT|FULL)\b"
        case exp.Concat() if len(node.expressions) != 2:
            return "CONCAT", r"\bCONCAT\b"
        case exp.Create() if (
            node.kind == "TABLE" and node.args.get("exists") and isinstance(node.expression, exp.Query)
        ):
            return "AS", r"\bAS\b"
        case exp.Table() if isinstance(node.this, exp.Func):
            return node.this.name or node.this.sql_name().lower(), r"\bFROM\b|\bJOIN\b"
        case _ if isinstance(node, FUNCTIONS_REFUSED):
            return node.sql_name().lower(), r"ARRAY|GENERATE_SERIES|STRUCT|\[|\{"
    return None


def _refuse_merge(tree: exp.Merge, sql: str) -> None:
    if tree.args.get("with_") or tree.args.get("with"):
        raise syntax_error(sql, "WITH")
    if tree.this.alias:
        raise syntax_error(sql, tree.this.alias, rf"\b{tree.this.alias}\b")
    whens = tree.args["whens"].expressions
    if [(bool(w.args.get("matched")), type(w.args["then"]).__name__) for w in whens] not in (
        [(True, "Update"), (False, "Insert")],
        [(True, "Var"), (False, "Insert")],
    ) or any(w.args.get("condition") for w in whens):
        raise syntax_error(sql, "WHEN", r"\bWHEN\b")
    equalities = list(tree.args["on"].flatten()) if isinstance(tree.args["on"], exp.And) else [tree.args["on"]]
    if not all(isinstance(e.unnest(), exp.EQ) for e in equalities):
        raise SqlError("ERROR: MERGE join condition must be made of equality predicates")
    update = whens[0].args["then"]
    if isinstance(update, exp.Update) and any(e.this.args.get("table") for e in update.expressions):
        raise syntax_error(sql, ".", r"\bSET\b")
    insert = whens[1].args["then"]
    if not isinstance(insert.expression or insert.this, exp.Tuple):
        raise syntax_error(sql, "SELECT")


@dataclass(frozen=True)
class Clock:
    """GETDATE() and SYSDATE: start of the statement and of the transaction, in UTC."""

    statement: datetime
    transaction: datetime


def translate(tree: exp.Expr, types: Callable[[], Types], clock: Clock) -> str:
    """Returns DuckDB SQL with Redshift's meaning for a query or DML tree."""
    root = exp.Tuple(expressions=[_typed(tree, types).copy()])
    for node in reversed(list(root.walk(bfs=True))):  # children first: a parent's rewrite moves them
        if rewriter := _REWRITERS.get(type(node)):
            place = exp.Placeholder()
            node.replace(place)
            rewritten = rewriter(node, clock)
            rewritten.type = node.type
            place.replace(rewritten)
    return str(root.expressions[0].sql("duckdb"))


def _typed(tree: exp.Expr, types: Callable[[], Types]) -> exp.Expr:
    """Returns the tree with types where sqlglot can tell them; division and averages depend on them."""
    if isinstance(tree, exp.Insert) and isinstance(tree.expression, exp.Query):
        tree = tree.copy()
        tree.set("expression", _typed(tree.expression, types))
        return tree
    if not isinstance(tree, exp.Query) or not tree.find(exp.Div, exp.Avg, exp.Sum):
        return tree
    nested: dict[str, Any] = {}
    for name, columns in types().items():
        schema, _, table = name.rpartition(".")
        nested.setdefault(schema or "pg_temp", {})[table] = columns
    try:
        qualified = qualify(
            tree.copy(), schema=nested, dialect="redshift", validate_qualify_columns=False,
            identify=False, quote_identifiers=False, expand_stars=False,
        )  # fmt: skip
        return annotate_types(qualified, schema=nested, dialect="redshift")
    except OptimizeError:
        # Then rs_div() decides by the values' types when it runs.
        return tree


def _is(node: exp.Expr | None, kinds: set[Any]) -> bool:
    return node is not None and node.type is not None and node.type.this in kinds


_DECIMAL = {exp.DataType.Type.DECIMAL}


def _scale(node: exp.Expr) -> tuple[int, int]:
    sizes = [int(p.name) for p in node.type.expressions] if node.type else []
    if len(sizes) == 2:
        return sizes[0], sizes[1]
    digits = {exp.DataType.Type.SMALLINT: 5, exp.DataType.Type.INT: 10}
    return (digits.get(node.type.this, 19) if node.type else 19), 0


def _cast(node: exp.Expr, kind: str) -> exp.Expr:
    return exp.cast(node, exp.DataType.build(kind, dialect="duckdb"))


def _now(node: exp.Expr, clock: Clock) -> exp.Expr:
    moment = clock.transaction if node.args.get("sysdate") else clock.statement
    return _cast(exp.Literal.string(moment.strftime("%Y-%m-%d %H:%M:%S.%f")), "TIMESTAMP")


def _divide(node: exp.Expr, clock: Clock) -> exp.Expr:
    left, right = node.this, node.expression
    if _is(left, INTEGERS) and _is(right, INTEGERS):
        return exp.IntDiv(this=left, expression=right)
    if _is(left, _DECIMAL | INTEGERS) and _is(right, _DECIMAL | INTEGERS):
        (_, s1), (p2, s2) = _scale(left), _scale(right)
        scale = min(max(4, s1 + p2 - s2 + 1), 18)
        return _cast(exp.func("rs_div", left, right), f"DECIMAL(38,{scale})")
    return exp.func("rs_div", left, right)


def _average(node: exp.Expr, clock: Clock) -> exp.Expr:
    if _is(node.this, INTEGERS):
        return _cast(exp.func("trunc", exp.Avg(this=node.this)), "BIGINT")
    if _is(node.this, _DECIMAL):
        return _cast(exp.Avg(this=node.this), f"DECIMAL(38,{_scale(node.this)[1]})")
    return node


def _total(node: exp.Expr, clock: Clock) -> exp.Expr:
    if _is(node.this, INTEGERS):
        return _cast(
            exp.Sum(this=node.this), "DECIMAL(38,0)" if _is(node.this, {exp.DataType.Type.BIGINT}) else "BIGINT"
        )
    return node


def _window(node: exp.Expr, clock: Clock) -> exp.Expr:
    """What was put around an aggregate belongs around its window."""
    around = node.this
    aggregate = around.find(exp.Sum, exp.Avg) if isinstance(around, exp.Cast) else None
    if aggregate is None:
        return node
    place = exp.Placeholder()
    aggregate.replace(place)
    node.set("this", aggregate)
    place.replace(node)
    return around


def _string_cast(node: exp.Expr, clock: Clock) -> exp.Expr:
    kind = node.args["to"]
    if kind.this in {exp.DataType.Type.SUPER}:
        return _cast(node.this, "JSON")
    if kind.this in {exp.DataType.Type.VARCHAR, exp.DataType.Type.CHAR, exp.DataType.Type.TEXT} and kind.expressions:
        size = kind.expressions[0].name
        if size.isdigit():  # an explicit cast cuts what is too long
            return exp.func("rs_cut", _cast(node.this, "VARCHAR"), exp.Literal.number(size))
    return node


def _plus(node: exp.Expr, clock: Clock) -> exp.Expr:
    left, right = node.expressions
    return exp.DPipe(this=left, expression=right, safe=False)


def _truncate_time(node: exp.Expr, clock: Clock) -> exp.Expr:
    if isinstance(node.this, exp.CurrentTimestamp) or _is(node.this, {exp.DataType.Type.TIMESTAMP}):
        return _cast(node.this, "DATE")
    return node


def _from_base(node: exp.Expr, clock: Clock) -> exp.Expr:
    if node.expression.name != "16":
        raise unsupported(f"STRTOL with base {node.expression.name}")
    return _cast(exp.DPipe(this=exp.Literal.string("0x"), expression=node.this), "BIGINT")


def _identifier(node: exp.Expr, clock: Clock) -> exp.Expr:
    name = node.name.lower()  # Redshift folds quoted names too
    return exp.to_identifier(name, quoted=not re.fullmatch(r"[a-z_]\w*", name) or bool(node.args.get("quoted")))


_REWRITERS: dict[type, Callable[[exp.Expr, Clock], exp.Expr]] = {
    exp.CurrentTimestamp: _now,
    exp.Div: _divide,
    exp.Avg: _average,
    exp.Sum: _total,
    exp.Window: _window,
    exp.Cast: _string_cast,
    exp.Concat: _plus,
    exp.Trunc: _truncate_time,
    exp.FromBase: _from_base,
    exp.Identifier: _identifier,
}

MACROS = """
CREATE OR REPLACE MACRO rs_div(a, b) AS
    CASE WHEN typeof(a) IN ('SMALLINT', 'INTEGER', 'BIGINT') AND typeof(b) IN ('SMALLINT', 'INTEGER', 'BIGINT')
        THEN trunc(a / b) ELSE a / b END;
CREATE OR REPLACE MACRO json_serialize(v) AS CAST(v AS VARCHAR);
CREATE OR REPLACE MACRO rs_cut(s, n) AS
    CASE WHEN strlen(s) <= n THEN s
        ELSE left(s, list_max(list_filter(range(0, n + 1), lambda i: strlen(left(s, i)) <= n))::BIGINT) END;
"""


def tables_of(tree: exp.Expr) -> Iterator[str]:
    """Yields each table that the tree names, as schema.name or name, CTE names left out."""
    ctes = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        name = table.name.lower()
        if table.db:
            yield f"{table.db.lower()}.{name}"
        elif name and name not in ctes:
            yield name


def check_known(tree: exp.Expr) -> None:
    if isinstance(tree, exp.Command):
        raise unsupported(str(tree.this).upper())
