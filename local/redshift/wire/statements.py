"""Splits and binds statements as clients send them: several in one text, with $1 for a parameter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlglot.tokenizer_core import TokenType

from local.redshift import dialect
from local.redshift.errors import SqlError

_LEXEMES = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
    |(?P<comment>/\*)
    |(?P<semicolon>;)
    |\$(?P<parameter>\d+)
    |(?P<other>'(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*"|\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$|[\w$]+|.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Lexeme:
    kind: str  # space, semicolon, parameter or other
    start: int
    end: int
    number: int = 0


def lexemes(sql: str) -> Iterator[Lexeme]:
    """Yields the lexemes of the text.

    sqlglot reads `$1,$` as a quotation mark, so parameters are found before it parses the text.
    """
    at = 0
    while found := _LEXEMES.match(sql, at):
        kind, end = found.lastgroup or "other", found.end()
        if kind == "comment":
            kind, end = "space", _comment_end(sql, found.start())
        yield Lexeme("other" if kind == "tag" else kind, at, end, int(found["parameter"] or 0))
        at = end


def _comment_end(sql: str, start: int) -> int:
    """Returns the end of a comment; comments can be nested."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", sql[start:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return start + mark.end()
    raise SqlError("ERROR: unterminated /* comment")


def split(text: str) -> list[str]:
    """Returns the statements between the semicolons, without empty ones."""
    found, start, is_empty = [], 0, True
    for lexeme in lexemes(text):
        if lexeme.kind == "semicolon":
            if not is_empty:
                found.append(text[start : lexeme.start].strip())
            start, is_empty = lexeme.end, True
        elif lexeme.kind != "space":
            is_empty = False
    if not is_empty:
        found.append(text[start:].strip())
    return found


def without_comments(sql: str) -> str:
    """Returns the statement from its first word on."""
    return next((sql[lexeme.start :] for lexeme in lexemes(sql) if lexeme.kind != "space"), "")


def first_word(sql: str) -> str:
    """Returns the first word in upper case, after any comments."""
    found = re.match(r"\w*", without_comments(sql))
    return found[0].upper() if found else ""


def parameters(sql: str) -> list[Lexeme]:
    """Returns each $1 outside of strings and comments."""
    return [lexeme for lexeme in lexemes(sql) if lexeme.kind == "parameter"]


def parameter_count(sql: str) -> int:
    return max((lexeme.number for lexeme in parameters(sql)), default=0)


def bound(sql: str, value_of: Callable[[int], str]) -> str:
    """Returns the statement with each parameter replaced by a literal.

    Raises:
        SqlError: A literal would not be parsed as a literal at this position.
    """
    found = parameters(sql)
    if not found:
        return sql
    out, starts, at = "", [], 0
    for lexeme in found:
        out += sql[at : lexeme.start] + " "
        starts.append(len(out))
        out += value_of(lexeme.number) + " "
        at = lexeme.end
    out += sql[at:]
    if not {token.start for token in dialect.tokens(out)}.issuperset(starts):
        raise SqlError("ERROR: a parameter is in a place where no value can be")
    return out


@dataclass(frozen=True)
class Declare:
    name: str
    query: str


@dataclass(frozen=True)
class Fetch:
    name: str
    count: int | None  # None is all


@dataclass(frozen=True)
class CloseCursor:
    name: str  # empty: all


@dataclass(frozen=True)
class Prepare:
    name: str
    types: tuple[str, ...]
    sql: str


@dataclass(frozen=True)
class ExecutePrepared:
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Deallocate:
    name: str  # empty: all


CursorCommand = Declare | Fetch | CloseCursor | Prepare | ExecutePrepared | Deallocate
_NAME = r'("(?:[^"]|"")+"|[\w$]+)'
_SPACE = re.IGNORECASE | re.DOTALL


def command_of(sql: str) -> CursorCommand | None:
    """Returns the command for the connection itself, or None if the engine runs the statement.

    Raises:
        SqlError: It is such a command in a form that Redshift does not support.
    """
    bare, first = without_comments(sql).rstrip().rstrip(";"), first_word(sql)
    match first:
        case "DECLARE":
            return _declare(bare)
        case "FETCH":
            return _fetch(bare)
        case "CLOSE":
            if found := re.fullmatch(rf"CLOSE\s+{_NAME}\s*", bare, _SPACE):
                return CloseCursor("" if found[1].upper() == "ALL" else _folded(found[1]))
        case "PREPARE":
            if found := re.fullmatch(
                rf"PREPARE\s+{_NAME}\s*(?:\(([^)]*(?:\([\d\s,]*\)[^)]*)*)\))?\s+AS\s+(.+)", bare, _SPACE
            ):
                types = tuple(re.split(r",(?![^(]*\))", found[2])) if found[2] else ()
                return Prepare(_folded(found[1]), tuple(kind.strip() for kind in types), found[3])
        case "EXECUTE":
            if found := re.fullmatch(rf"EXECUTE\s+{_NAME}\s*(?:\((.*)\))?\s*", bare, _SPACE):
                return ExecutePrepared(_folded(found[1]), tuple(_arguments(found[2] or "")))
        case "DEALLOCATE":
            if found := re.fullmatch(rf"DEALLOCATE\s+(?:PREPARE\s+)?{_NAME}\s*", bare, _SPACE):
                return Deallocate("" if found[1].upper() == "ALL" else _folded(found[1]))
        case _:
            return None
    raise SqlError(f'ERROR: syntax error at or near "{first}"')


def _declare(sql: str) -> Declare:
    found = re.fullmatch(
        rf"DECLARE\s+{_NAME}\s+((?:\w+\s+)*?)CURSOR\s+((?:WITH(?:OUT)?\s+HOLD\s+)?)FOR\s+(.+)", sql, _SPACE
    )
    if not found:
        raise SqlError('ERROR: syntax error at or near "DECLARE"')
    words = set(found[2].upper().split())
    if words - {"NO", "SCROLL", "INSENSITIVE"} or ("SCROLL" in words and "NO" not in words):
        raise SqlError(f"ERROR: DECLARE {' '.join(sorted(words))} CURSOR is not supported")
    if found[3].upper().startswith("WITH "):
        raise SqlError("ERROR: DECLARE CURSOR ... WITH HOLD is not supported")
    return Declare(_folded(found[1]), found[4])


def _fetch(sql: str) -> Fetch:
    found = re.fullmatch(
        rf"FETCH\s+(?:(NEXT|ALL|FORWARD\s+ALL|(?:FORWARD\s+)?\d+|FORWARD)\s+)?(?:FROM|IN)\s+{_NAME}\s*", sql, _SPACE
    )
    if not found:
        raise SqlError("ERROR: FETCH: only forward fetches are supported: NEXT, ALL, FORWARD count, FORWARD ALL")
    words = (found[1] or "NEXT").upper().split()
    count = None if words[-1] == "ALL" else int(words[-1]) if words[-1].isdigit() else 1
    return Fetch(_folded(found[2]), count)


def _folded(name: str) -> str:
    return (name[1:-1].replace('""', '"') if name.startswith('"') else name).lower()


def _arguments(text: str) -> list[str]:
    """Splits a text at the commas outside of parentheses."""
    found, start, depth = [], 0, 0
    for token in dialect.tokens(text):
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if token.token_type is TokenType.COMMA and depth == 0:
            found.append(text[start : token.start].strip())
            start = token.end + 1
    return [*found, text[start:].strip()] if text.strip() else []


def with_values(sql: str, types: Sequence[str], command: ExecutePrepared) -> str:
    """Returns a prepared statement with the values of EXECUTE, each cast to the type that PREPARE gave its parameter.

    Raises:
        SqlError: EXECUTE has another number of values.
    """
    wanted = parameter_count(sql)
    if wanted != len(command.values):
        raise SqlError(
            f'ERROR: wrong number of parameters for prepared statement "{command.name}": '
            f"expected {wanted} parameters but got {len(command.values)}"
        )

    def value_of(number: int) -> str:
        given = command.values[number - 1]
        return f"CAST(({given}) AS {types[number - 1]})" if number <= len(types) else f"({given})"

    return bound(sql, value_of)


def command_tag(words: Sequence[str]) -> str:
    """Returns the command tag (that of SELECT in PostgreSQL 8.0 has no number of rows)."""
    match [*words, "", "", ""]:
        case [("SELECT" | "WITH" | "VALUES"), *_]:
            return "SELECT"
        case ["CREATE", ("TEMP" | "TEMPORARY" | "LOCAL"), *_]:
            return "CREATE TABLE"
        case ["CREATE", "OR", "REPLACE", kind, *_]:
            return f"CREATE {kind}"
        case ["TRUNCATE", *_]:
            return "TRUNCATE TABLE"
        case [("CREATE" | "DROP" | "ALTER") as verb, kind, *_]:
            return f"{verb} {kind}"
        case ["LOCK", *_]:
            return "LOCK TABLE"
        case ["END", *_]:
            return "COMMIT"
        case ["ABORT", *_]:
            return "ROLLBACK"
        case ["START", *_]:
            return "START TRANSACTION"
    return words[0]
