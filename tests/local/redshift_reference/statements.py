"""Reads the files of statements and runs them on one engine: what the reference says, and what the stand-in answers.

A file is a chapter. Its lines are a page of the Developer Guide (`# page`), a statement, and what is expected below it:

- `names: a | b`   the names of the result's columns
- `types: int4 | varchar`   their types as the Data API names them
- `= 1 | x`   one row; `=` alone is no row at all, `(null)` is NULL
- `rows without line breaks`   a run of blanks and line breaks counts as one blank, as the guide prints texts
- `any order`   the rows come in any order
- `done`   a statement without a result, which goes through
- `error: text`   Redshift fails, too, with a message in which this stands
- `refused: text`   Redshift answers; the stand-in refuses, naming what it lacks

Lines of `setup` are run before; one that several chapters need is run once.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

from local.redshift import batch
from local.redshift.api import as_text
from local.redshift.engine import Engine
from local.redshift.errors import SqlError

FOLDER = Path(__file__).parent
MARKS = ("names:", "types:", "=", "any order", "rows without line breaks", "done", "error:", "refused:")


@dataclass
class Statement:
    chapter: str
    page: str
    sql: str
    names: list[str] | None = None
    types: list[str] | None = None
    rows: list[list[str]] | None = None
    any_order: bool = False
    is_flat: bool = False
    done: bool = False
    error: str = ""
    refused: str = ""
    is_setup: bool = False
    place: str = field(default="", compare=False)

    @property
    def kind(self) -> str:
        return "refused" if self.refused else "right"


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.split(" | ")]


def read(path: Path) -> list[Statement]:
    found: list[Statement] = []
    page, chapter = "", path.stem.replace("_", " ")
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text:
            continue
        if text.startswith("# "):
            page = text[2:]
        elif text.startswith("setup "):
            found.append(Statement(chapter, page, text[6:], is_setup=True, done=True, place=f"{path.name}:{number}"))
        elif not text.startswith(MARKS):
            found.append(Statement(chapter, page, text, place=f"{path.name}:{number}"))
        else:
            _expect(found[-1], text)
    return found


def _expect(statement: Statement, text: str) -> None:
    if text.startswith("names:"):
        statement.names = _cells(text[6:])
    elif text.startswith("types:"):
        statement.types = _cells(text[6:])
    elif text == "any order":
        statement.any_order = True
    elif text == "rows without line breaks":
        statement.is_flat = True
    elif text == "done":
        statement.done = True
    elif text.startswith("error:"):
        statement.error = text[6:].strip()
    elif text.startswith("refused:"):
        statement.refused = text[8:].strip()
    else:
        statement.rows = (statement.rows or []) + ([_cells(text[1:])] if text != "=" else [])


@functools.cache
def chapters() -> dict[str, list[Statement]]:
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.txt"))}


def counts() -> dict[str, Counter[str]]:
    """Returns chapter to (right, refused), in the order of the files."""
    return {name: Counter(s.kind for s in found if not s.is_setup) for name, found in chapters().items()}


def problem(engine: Engine, statement: Statement) -> str | None:
    """Runs the statement; returns how its answer differs from what is expected, None where it does not."""
    results: list[object] = []
    session = engine.session()
    try:
        batch.run(
            session, [statement.sql], {}, one_transaction=True, on_result=lambda _, result: results.append(result)
        )
    except SqlError as error:
        said = str(error)
        if statement.refused:
            expected = statement.refused in said and "not supported by the local Redshift stand-in" in said
            return None if expected else f"refused with: {said}"
        return None if statement.error and statement.error in said else f"failed with: {said}"
    finally:
        session.close()
    [result] = results
    if statement.error or statement.refused:
        return f"went through and gave {result.rows}"  # type: ignore[attr-defined]
    if statement.done:
        return None if not result.has_rows else "gave rows"  # type: ignore[attr-defined]
    names = [c.name for c in result.columns]  # type: ignore[attr-defined]
    types = [c.type_name for c in result.columns]  # type: ignore[attr-defined]
    rows = [[_shown(v) for v in row] for row in result.rows]  # type: ignore[attr-defined]
    if statement.is_flat:
        rows = [[" ".join(cell.split()) for cell in row] for row in rows]
    wanted = statement.rows
    if wanted is not None and statement.any_order:
        rows, wanted = sorted(rows), sorted(wanted)
    if statement.names is not None and names != statement.names:
        return f"columns are {names}"
    if statement.types is not None and types != statement.types:
        return f"types are {types}"
    if wanted is not None and rows != wanted:
        return f"rows are {rows}"
    if statement.names is statement.types is statement.rows is None:
        return "nothing is expected of it"
    return None


def _shown(value: object) -> str:
    """A value as the guide prints it: VARBYTE in hexadecimal digits."""
    if isinstance(value, bytes):
        return value.hex()
    return "(null)" if value is None else as_text(value).strip()


def problems(engine: Engine, chapter: str) -> list[str]:
    """Runs a chapter and returns what differs, with its place."""
    ready = _ready.setdefault(engine, set())
    found = []
    for statement in chapters()[chapter]:
        if statement.is_setup and statement.sql in ready:
            continue
        if statement.is_setup:
            ready.add(statement.sql)
        if said := problem(engine, statement):
            found.append(f"{statement.place}: {statement.sql}\n    {said}")
    return found


_ready: WeakKeyDictionary[Engine, set[str]] = WeakKeyDictionary()
