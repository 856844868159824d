"""Parses Redshift's SQL, and refuses SQL that DuckDB accepts and Redshift does not."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from local.redshift.errors import SqlError, syntax_error, unsupported

TYPES_REFUSED = {
    "UUID",
    "JSON",
    "JSONB",
    "TINYINT",
    "UTINYINT",
    "INT128",
    "HUGEINT",
    "ARRAY",
    "LIST",
    "STRUCT",
    "MAP",
    "ENUM",
    "BLOB",
    "UINT",
    "UBIGINT",
    "USMALLINT",
}

KEPT_TOKENS = 256  # statements whose words and placeholders are cached
_SYNTAX_OF_THEIR_OWN = {"CAST", "CONVERT", "EXTRACT", "TRIM", "POSITION", "SUBSTRING"}


class Warehouse(Redshift):
    """Redshift's dialect with functions kept as they are written; local/redshift/functions defines them."""

    class Parser(Redshift.Parser):
        FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            name: parse for name, parse in Redshift.Parser.FUNCTION_PARSERS.items() if name in _SYNTAX_OF_THEIR_OWN
        }
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            name: parse
            for name, parse in Redshift.Parser.NO_PAREN_FUNCTION_PARSERS.items()
            if name in {"ANY", "CASE", "SYSDATE"}
        }


@lru_cache(KEPT_TOKENS)
def tokens(sql: str) -> tuple[Token, ...]:
    try:
        return tuple(sqlglot.tokenize(sql, read="redshift"))
    except TokenError as error:
        raise SqlError(f"ERROR: unterminated quoted string: {error}") from error


@lru_cache(KEPT_TOKENS)
def words(sql: str) -> tuple[str, ...]:
    """Returns the first words of the statement in upper case, without comments."""
    return tuple(t.text.upper() for t in tokens(sql)[:4])


@lru_cache(KEPT_TOKENS)
def split_placeholders(sql: str) -> tuple[tuple[int, int, str], ...]:
    """Returns (start, end, name) of each `:name`, outside of strings and comments."""
    found: list[tuple[int, int, str]] = []
    stream = tokens(sql)
    for colon, name in itertools.pairwise(stream):
        adjacent = colon.end + 1 == name.start
        if colon.token_type is TokenType.COLON and adjacent and re.fullmatch(r"\w+", name.text):
            found.append((colon.start, name.end + 1, name.text))
    return tuple(found)


def bind(sql: str, parameters: Mapping[str, str]) -> str:
    """Returns `sql` with each `:name` replaced by a string literal, which the database casts as needed."""
    for start, end, name in reversed(split_placeholders(sql)):
        if name in parameters:
            literal = (
                parameters[name].replace("\\", "\\\\").replace("'", "''")
            )  # a backslash escapes in Redshift's strings
            sql = f"{sql[:start]}'{literal}'{sql[end:]}"
    return sql


def strip_table_attributes(sql: str) -> str:
    """Replaces DISTSTYLE, DISTKEY, SORTKEY, ENCODE and BACKUP by blanks, because they affect only storage."""
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
        SqlError: Redshift would not parse it; the message names the token and its position.
    """
    tree = _read(sql, Warehouse)
    refuse(tree, sql)
    return tree


def read(sql: str) -> exp.Expr:
    """Returns the tree like `parse`, but also accepts other dialects' syntax, for queries of the catalog."""
    return _read(sql, Redshift)


def _read(sql: str, grammar: type[Redshift]) -> exp.Expr:
    first = words(sql)
    text = strip_table_attributes(sql) if first[:1] == ("CREATE",) else sql
    stream = tokens(text)
    for word, following in itertools.pairwise(stream):  # an exact count is a valid approximate count
        if word.text.upper() == "APPROXIMATE" and following.text.upper() == "COUNT":
            text = f"{text[: word.start]}{' ' * len(word.text)}{text[word.end + 1 :]}"
    if first[:1] == ("DELETE",) and first[1:2] != ("FROM",):  # FROM is optional
        start = tokens(sql)[0].end + 1
        text = f"{sql[:start]} FROM{sql[start:]}"
    try:
        trees = [tree for tree in sqlglot.parse(text, read=grammar) if tree is not None]
    except ParseError as error:
        detail = error.errors[0] if error.errors else {}
        near = str(detail.get("highlight") or "").strip() or "end of input"
        raise syntax_error(sql, near) from error
    if len(trees) != 1:
        raise SqlError("ERROR: cannot insert multiple commands into a prepared statement")
    return trees[0].transform(_unqualified, copy=False)


def _unqualified(node: exp.Expr) -> exp.Expr:
    """Replaces pg_catalog.version() by version(), because built-in functions are in that schema."""
    is_built_in = isinstance(node, exp.Dot) and node.this.name.lower() == "pg_catalog"
    return node.expression if is_built_in and isinstance(node.expression, exp.Func) else node


def refuse(tree: exp.Expr, sql: str) -> None:
    """Raises SqlError for syntax that is not part of Redshift's SQL although sqlglot and DuckDB accept it."""
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
    (r"\bNOT\s+MATCHED\s+BY\s+SOURCE\b", "BY"),
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
    """Replaces strings, quoted names and comments by blanks, so that words inside them are not treated as SQL."""
    blank = lambda found: " " * len(found[0])  # noqa: E731
    return re.sub(r"'(?:[^'\\]|''|\\.)*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", blank, sql, flags=re.DOTALL)


def _problem(node: exp.Expr) -> tuple[str, str] | None:
    """Returns (the word of the syntax error, a pattern to find it) if the node is not in Redshift's grammar."""
    match node:
        case exp.Values() if isinstance(node.parent, exp.From | exp.Join | exp.Subquery) or node.args.get("alias"):
            return "VALUES", r"\bVALUES\b"
        case exp.Filter():
            return "FILTER", r"\bFILTER\b"
        case exp.CheckColumnConstraint():
            return "CHECK", r"\bCHECK\b"
        case exp.DataType() if isinstance(node.this, exp.DType) and node.this.name in TYPES_REFUSED:
            return node.this.name, rf"\b{node.this.name}\b|\["
        case exp.WindowSpec() if str(node.args.get("kind")).upper() != "ROWS" or node.args.get("exclude"):
            return str(node.args.get("kind")), r"\b(RANGE|GROUPS|EXCLUDE)\b"
        case exp.Subquery() if (
            isinstance(node.parent, exp.From | exp.Join) and not node.alias and not node.args.get("pivots")
        ):
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
        case exp.Create() if (
            node.kind == "TABLE" and node.args.get("exists") and isinstance(node.expression, exp.Query)
        ):
            return "AS", r"\bAS\b"
        case exp.Table() if isinstance(node.this, exp.Func):
            return node.this.name or node.this.sql_name().lower(), r"\bFROM\b|\bJOIN\b"
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


def tables_of(tree: exp.Expr) -> Iterator[str]:
    """Yields each table that the tree names, as schema.name or name, without CTEs."""
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
