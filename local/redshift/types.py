"""Types of expressions, and the types that Redshift derives from two of them.

Source: Redshift Developer Guide, "Computations with numeric values", "Character types", "Type compatibility".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from local.redshift.catalog import Column
from local.redshift.errors import SqlError

INTEGERS = ("SMALLINT", "INT", "BIGINT")
FLOATS = ("FLOAT", "DOUBLE")
NUMBERS = (*INTEGERS, "DECIMAL", *FLOATS)
TEXTS = ("CHAR", "VARCHAR")
TIMES = ("DATE", "TIMESTAMP", "TIMESTAMPTZ")
DIGITS = {"SMALLINT": 5, "INT": 10, "BIGINT": 19}
LONGEST_TEXT = 65535


@dataclass(frozen=True)
class Type:
    """A type of Redshift.

    Args:
        kind: a key of `catalog.KINDS`, INTERVAL, NULL (of a bare NULL) or UNKNOWN (cannot be determined).
        length: bytes of a text.
        has_blanks: a text that may end with blanks, which are ignored when texts are compared.
        is_literal: a bare string in the statement, which takes the type of the value with which it is compared.
    """

    kind: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    has_blanks: bool = False
    is_literal: bool = False

    @property
    def is_number(self) -> bool:
        return self.kind in NUMBERS

    @property
    def is_integer(self) -> bool:
        return self.kind in INTEGERS

    @property
    def is_text(self) -> bool:
        return self.kind in TEXTS

    @property
    def is_open(self) -> bool:
        """Whether the value takes the type of the other operand."""
        return self.is_literal or self.kind == "NULL"

    @property
    def decimal(self) -> tuple[int, int]:
        """(precision, scale) of an integer or a DECIMAL."""
        if self.kind == "DECIMAL":
            return self.precision or 18, self.scale or 0
        return DIGITS[self.kind], 0

    def column(self, name: str) -> Column:
        kind = "VARCHAR" if self.kind in {"NULL", "INTERVAL"} else self.kind
        length = (self.length or LONGEST_TEXT) if kind in TEXTS else None
        return Column(name, kind, length, self.precision, self.scale, has_blanks=self.has_blanks)


NULL = Type("NULL")
UNKNOWN = Type("UNKNOWN")
SMALLINT, INT, BIGINT = Type("SMALLINT"), Type("INT"), Type("BIGINT")
REAL, DOUBLE, BOOLEAN = Type("FLOAT"), Type("DOUBLE"), Type("BOOLEAN")
DATE, TIME, TIMETZ = Type("DATE"), Type("TIME"), Type("TIMETZ")
TIMESTAMP, TIMESTAMPTZ, INTERVAL = Type("TIMESTAMP"), Type("TIMESTAMPTZ"), Type("INTERVAL")
SUPER, VARBYTE = Type("SUPER"), Type("VARBINARY")
TEXT = Type("VARCHAR", LONGEST_TEXT, has_blanks=True)


def varchar(length: int = LONGEST_TEXT, *, has_blanks: bool = False) -> Type:
    return Type("VARCHAR", min(max(length, 1), LONGEST_TEXT), has_blanks=has_blanks)


def decimal(precision: int, scale: int) -> Type:
    return Type("DECIMAL", precision=min(precision, 38), scale=scale)


def of_column(column: Column) -> Type:
    return Type(column.kind, column.length, column.precision, column.scale, has_blanks=column.has_blanks)


def of_number(text: str) -> Type:
    """Returns the type of a number as it is written."""
    if "e" in text.lower():
        return DOUBLE
    whole, _, fraction = text.partition(".")
    if "." not in text:
        value = int(whole)
        return INT if value < 2**31 else BIGINT if value < 2**63 else decimal(len(whole), 0)
    digits = len(whole.lstrip("0")) + len(fraction)
    return decimal(max(digits, 1), len(fraction))


def arithmetic(operator: str, left: Type, right: Type) -> Type:
    """Returns the type of left + right, left - right, left * right or left % right for two numbers."""
    if left.kind in FLOATS or right.kind in FLOATS:
        return REAL if left.kind == right.kind == "FLOAT" else DOUBLE
    if left.is_integer and right.is_integer:
        return max(left, right, key=lambda t: INTEGERS.index(t.kind))
    (p1, s1), (p2, s2) = left.decimal, right.decimal
    if operator == "*":
        return decimal(p1 + p2 + 1, s1 + s2)
    scale = max(s1, s2)
    return decimal(max(p1 - s1, p2 - s2) + 1 + scale, scale)


def quotient(left: Type, right: Type) -> Type:
    """Returns the type of a quotient in which at least one operand is a DECIMAL."""
    (p1, s1), (p2, s2) = left.decimal, right.decimal
    scale = max(4, s1 + p2 - s2 + 1)
    precision = p1 - s1 + s2 + scale
    if precision > 38:
        precision, scale = 38, max(38 + scale - precision, 4)
    return decimal(precision, scale)


def common(types: list[Type], what: str) -> Type:
    """Returns the common type of values of these types in a CASE, COALESCE, UNION or the like.

    Raises:
        SqlError: They have no common type.
    """
    known = [t for t in types if not t.is_open]
    if not known:
        texts = [t for t in types if t.is_literal]
        if not texts:
            return NULL
        return replace(
            texts[0],
            length=max(t.length or 1 for t in texts),
            has_blanks=any(t.has_blanks for t in texts),
            is_literal=len(texts) == len(types) == 1,
        )
    if any(t.kind == "UNKNOWN" for t in known):
        return UNKNOWN
    found = known[0]
    for other in known[1:]:
        found = _common(found, other, what)
    literals = [t for t in types if t.is_literal]
    if found.is_text and literals:
        found = replace(
            found,
            length=max(found.length or 1, *(t.length or 1 for t in literals)),
            has_blanks=found.has_blanks or any(t.has_blanks for t in literals),
        )
    return found


def _common(left: Type, right: Type, what: str) -> Type:
    if left.is_text and right.is_text:
        kind = "CHAR" if left.kind == right.kind == "CHAR" else "VARCHAR"
        return Type(kind, max(left.length or 1, right.length or 1), has_blanks=left.has_blanks or right.has_blanks)
    if left.is_number and right.is_number:
        if left.kind in FLOATS or right.kind in FLOATS:
            return REAL if left.kind == right.kind == "FLOAT" else DOUBLE
        if left.is_integer and right.is_integer:
            return max(left, right, key=lambda t: INTEGERS.index(t.kind))
        (p1, s1), (p2, s2) = left.decimal, right.decimal
        scale = max(s1, s2)
        return decimal(max(p1 - s1, p2 - s2) + scale, scale)
    if left.kind == right.kind:
        return left
    if left.kind in TIMES and right.kind in TIMES:
        return max(left, right, key=lambda t: TIMES.index(t.kind))
    if "SUPER" in (left.kind, right.kind):
        return SUPER
    raise SqlError(f"ERROR: {what} types {sql_name(left)} and {sql_name(right)} cannot be matched")


_NAMES = {
    "VARCHAR": "character varying",
    "CHAR": "character",
    "INT": "integer",
    "DECIMAL": "numeric",
    "DOUBLE": "double precision",
    "FLOAT": "real",
    "TIMESTAMP": "timestamp without time zone",
    "TIMESTAMPTZ": "timestamp with time zone",
    "VARBINARY": "binary varying",
}


def sql_name(kind: Type) -> str:
    """Returns the name of the type in Redshift's messages."""
    return _NAMES.get(kind.kind, kind.kind.lower())
