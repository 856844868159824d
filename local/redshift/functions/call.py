"""Calls of functions, and helpers that define functions of the usual forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from local.redshift.errors import SqlError, unsupported
from local.redshift.marks import text_of
from local.redshift.types import TEXT, VARBYTE, Type


@dataclass(frozen=True)
class Clock:
    """Start of the statement (GETDATE) and of the transaction (SYSDATE), in UTC, as texts of a DuckDB TIMESTAMP."""

    statement: str
    transaction: str


@dataclass(frozen=True)
class Call:
    """A call with DuckDB's expressions of its arguments and their types in Redshift."""

    name: str
    args: list[exp.Expr]
    types: list[Type]
    clock: Clock
    facts: dict[str, str]  # properties of the session: database, schema, user

    def literal(self, index: int, what: str) -> str:
        """Returns the text of an argument that must be a literal.

        Raises:
            SqlError: The argument is computed, so its value is not known before the statement runs.
        """
        node = self.args[index] if index < len(self.args) else None
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
            return f"-{node.this.name}"
        if not isinstance(node, exp.Literal):
            raise unsupported(f"{self.name} with a {what} that is no literal")
        return text_of(node)

    def wrong(self) -> SqlError:
        """Returns Redshift's error for arguments of types that the function does not accept."""
        given = ", ".join("unknown" if t.is_open else t.kind.lower() for t in self.types)
        return SqlError(f"ERROR: function {self.name.lower()}({given}) does not exist")


Function = Callable[[Call], tuple[exp.Expr, Type]]
Returns = Type | Callable[[Call], Type]


def func(name: str, *args: exp.Expr | str | int) -> exp.Expr:
    """Returns a call of DuckDB's function `name`."""
    return exp.Anonymous(this=name, expressions=[constant(a) if isinstance(a, str | int) else a for a in args])


def constant(value: str | int) -> exp.Expr:
    if isinstance(value, str):
        return exp.Literal.string(value)
    return exp.Neg(this=exp.Literal.number(-value)) if value < 0 else exp.Literal.number(value)


def cast(node: exp.Expr, kind: str) -> exp.Expr:
    return exp.Cast(this=node, to=exp.DataType.build(kind, dialect="duckdb"))


def checked(call: Call, fewest: int, most: int) -> None:
    if not fewest <= len(call.args) <= most:
        raise call.wrong()


def as_text(node: exp.Expr, kind: Type) -> exp.Expr:
    """Returns the value as the text to which Redshift converts it implicitly."""
    if kind.is_text or kind.is_open:
        return node
    if kind.kind in {"DOUBLE", "FLOAT"}:
        return func("rs_float_text", node, 15 if kind.kind == "DOUBLE" else 6)
    if kind.kind in {"BOOLEAN", "SUPER", "VARBINARY", "UNKNOWN", "TIMETZ", "INTERVAL", "TIMESTAMPTZ"}:
        raise unsupported(f"a text function of {kind.kind}")
    return cast(node, "VARCHAR")


def of_texts(
    returns: Returns, fewest: int, most: int | None = None, texts: tuple[int, ...] = (0,), name: str = ""
) -> Function:
    """Returns a function of texts: the arguments at the positions `texts` are converted to text, as in LEN(123)."""

    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, fewest, fewest if most is None else most)
        if any(call.types[i] == VARBYTE for i in texts if i < len(call.types)):
            raise unsupported(f"{call.name} of VARBYTE")
        args = [as_text(a, t) if i in texts else a for i, (a, t) in enumerate(zip(call.args, call.types, strict=True))]
        return func(name or f"rs_{call.name.lower()}", *args), returns(call) if callable(returns) else returns

    return made


def plain(returns: Returns, fewest: int, most: int | None = None, name: str = "") -> Function:
    """Returns a function that DuckDB or a macro rs_<name> implements with Redshift's meaning."""

    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, fewest, fewest if most is None else most)
        return func(name or f"rs_{call.name.lower()}", *call.args), returns(call) if callable(returns) else returns

    return made


def refused(why: str) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        raise unsupported(f"{call.name}: {why}")

    return made


def without_blanks(node: exp.Expr, kind: Type) -> exp.Expr:
    """Returns the text for a comparison, in which trailing blanks are ignored."""
    if not kind.has_blanks:
        return node
    if isinstance(node, exp.Literal):
        return exp.Literal.string(text_of(node).rstrip(" "))
    return func("rtrim", node, " ")


def first_text(call: Call) -> Type:
    """Returns the type of a text with the length of the first argument, and with blanks only if that has them."""
    kind = call.types[0]
    return Type("VARCHAR", kind.length or TEXT.length, has_blanks=kind.has_blanks)


def first(call: Call) -> Type:
    return call.types[0]


def integers(call: Call, *places: int) -> None:
    for i in places:
        if i < len(call.types) and not (call.types[i].is_integer or call.types[i].is_open):
            raise call.wrong()
