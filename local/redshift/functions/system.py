"""System information functions that return properties of the session."""

from __future__ import annotations

from sqlglot import exp

from local.redshift.functions.call import Call, Function, checked
from local.redshift.types import INT, Type, varchar

VERSION = (
    "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), "
    "Redshift 1.0.43931"
)


def _fact(name: str) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, 0, 0)
        return exp.Literal.string(call.facts[name]), varchar(128)

    return made


def _version(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 0, 0)
    return exp.Literal.string(VERSION), varchar(256)


def _backend(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 0, 0)
    return exp.Literal.number(call.facts["process_id"]), INT


FUNCTIONS: dict[str, Function] = {
    "CURRENT_DATABASE": _fact("database"),
    "CURRENT_SCHEMA": _fact("schema"),
    "VERSION": _version,
    "PG_BACKEND_PID": _backend,
}
