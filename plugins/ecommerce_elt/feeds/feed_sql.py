"""The SQL of a feed: a file in `include/sql` if there is one, otherwise generated from the contract.

Every feed has the following statements. A file is needed only for a statement that differs from the generated one:

    clean/<feed>.sql              selects the columns unchanged, personal ones according to their `privacy`
    staging/<feed>/create.sql     the columns of the clean SQL in its order, because COPY of Parquet goes by position
    core/<fact>/create.sql        the same columns without the source, keyed by event_id
    core/<fact>/merge.sql         inserts from staging into core
    core/<fact>/erase.sql         sets `erasure.row` on the rows of one customer

The fact is the first of the contract's `tables`. `python -m ecommerce_elt.feeds.feed_sql FEED` prints the SQL of a
feed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import TEXTS, Column, Contract, Derived, load_contracts

MASKED_BYTES = 8  # the first character has up to 4 bytes in UTF-8, and *** follows
HMAC_DIGITS = 64
SHORTEST_WORDS_BYTES = (
    16  # least width for accepted words; the width is a power of two, so that a new word rarely widens the column
)
# The columns of every feed before and after its own columns.
FIRST, LAST = ("event_id", "event_time", "event_version"), ("source_object", "source_line", "reasons")
_CAPITALS = "TRANSLATE({name}, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"


def read(sql_dir: Path, path: str) -> str:
    """Returns the text of an SQL file, or the SQL that is generated from a contract in its place.

    Args:
        sql_dir: the folder `include/sql`; the contracts are in `feeds` next to it.
        path: path within `sql_dir`, such as core/fact_review/merge.sql.

    Raises:
        PermanentError: there is no such file, and no contract generates it.
    """
    if (found := find(sql_dir, path)) is None:
        raise PermanentError(
            f"{sql_dir / path}: there is no such file, and no contract in {sql_dir.parent / 'feeds'} makes it"
        )
    return found


def find(sql_dir: Path, path: str) -> str | None:
    """Returns the same as `read`, or None if there is neither a file nor a contract."""
    if (file := sql_dir / path).exists():
        return file.read_text("utf-8")
    folder, _, name = path.rpartition("/")
    table = folder.replace("/", ".")
    # Statements are generated only for missing files, so a feed with files for all needs nothing in the contract for
    # them.
    is_made = name in {"create.sql", "merge.sql", "erase.sql"}
    for contract in load_contracts(sql_dir.parent / "feeds").values():
        if path == f"clean/{contract.feed}.sql":
            return clean_sql(contract, sql_dir)
        if is_made and table in (contract.staging, contract.tables[0]):
            return _made(contract, clean_sql(contract, sql_dir)).get(path)
    return None


def clean_sql(contract: Contract, sql_dir: Path) -> str:
    """Returns the feed's clean SQL, a SELECT from `typed`, which `typing_sql` generates from the contract."""
    file = sql_dir / f"clean/{contract.feed}.sql"
    return file.read_text("utf-8") if file.exists() else _pass_on(contract)


def statements(contract: Contract, sql_dir: Path) -> dict[str, str]:
    """Returns the statements of the feed and of all its tables, by their path in `include/sql`."""
    paths = [f"clean/{contract.feed}.sql", f"{_folder(contract.staging)}/create.sql"]
    erased = contract.erasure.tables if contract.erasure else ()
    for table in dict.fromkeys((*contract.tables, *erased)):
        paths += [f"{_folder(table)}/{name}.sql" for name in ("create", "unmerge", "merge", "erase")]
    return {path: text for path in paths if (text := find(sql_dir, path)) is not None}


def merges(contract: Contract, sql_dir: Path) -> list[str]:
    """Returns the statements that merge staging into the contract's tables, in the order of the tables."""
    paths = (f"{_folder(table)}/{name}.sql" for table in contract.tables for name in ("unmerge", "merge"))
    return [text for path in paths if (text := find(sql_dir, path)) is not None]


def check(contract: Contract, sql_dir: Path) -> None:
    """Checks that tables can be generated from the contract and the feed's clean SQL.

    Raises:
        PermanentError: they cannot; the message has the remedy.
    """
    _made(contract, clean_sql(contract, sql_dir))


def _folder(table: str) -> str:
    return table.replace(".", "/")


def _listed(lines: Iterable[str]) -> str:
    return ",\n".join(f"    {line}" for line in lines)


# -- clean ------------------------------------------------------------------------------------------------------------


def _pass_on(contract: Contract) -> str:
    _check_names(contract, (column.name for column in contract.columns))
    selected = [
        *FIRST,
        *(
            text
            for column in contract.columns
            if column.name != contract.event_time and column.privacy != "drop"
            for text in [_selected(column, contract)]
        ),
        *(["extra"] if contract.unknown_keys == "keep" else []),
        *LAST,
    ]
    return (
        "-- grain: one row per event of the batch\n"
        "-- source: typed, the batch's events with the contract's columns typed and checked\n"
        "-- idempotent: a pure function of the batch's events\n"
        "-- re-run: the same rows\n"
        f"SELECT\n{_listed(selected)}\nFROM typed\n"
    )


def _selected(column: Column, contract: Contract) -> str:
    if column.privacy == "keep":
        return column.name
    if column.privacy == "mask" and column.type in TEXTS:
        masked = f"CASE WHEN LENGTH({column.name}) > 3 THEN SUBSTRING({column.name}, 1, 1) || '***' ELSE '***' END"
        return f"CASE WHEN {column.name} IS NOT NULL THEN {masked} END AS {column.name}"
    if column.privacy == "hmac" and column.type in TEXTS:
        # HMAC-SHA256 (RFC 2104) of the text without blanks and with ASCII letters in lower case; engines differ for
        # others.
        plain = f"REPLACE({_CAPITALS.format(name=column.name)}, ' ', '')"
        inner = f"UNHEX(SHA256(UNHEX($hmac_inner_pad) || ENCODE({plain})))"
        hashed = f"SHA256(UNHEX($hmac_outer_pad) || {inner})"
        erased = contract.erasure.record.get(column.name) if contract.erasure else None
        return f"CASE {_kept_erased(column, erased)}WHEN {column.name} IS NOT NULL THEN {hashed} END AS {column.name}"
    raise PermanentError(
        f"feed {contract.feed}, column {column.name}: privacy {column.privacy} of the type {column.type} is for the feed to "
        f"say. Write include/sql/clean/{contract.feed}.sql, or privacy: drop"
    )


def _kept_erased(column: Column, erased: str | None) -> str:
    return f"WHEN {column.name} = '{erased.replace(chr(39), chr(39) * 2)}' THEN {column.name} " if erased else ""


# -- tables -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def reserved_words() -> frozenset[str]:
    """Returns the words that Redshift or DuckDB does not accept as a name without quotes, in lower case."""
    from sqlglot.dialects import DuckDB, Redshift

    return frozenset(
        word.strip() for dialect in (Redshift, DuckDB) for word in dialect.generator_class.RESERVED_KEYWORDS
    )


def _check_names(contract: Contract, names: Iterable[str]) -> None:
    if reserved := [name for name in names if name in reserved_words()]:
        raise PermanentError(
            f"include/feeds/{contract.feed}.yaml: columns {', '.join(reserved)}: the names are reserved words of SQL. Give each "
            "another `name`; its `header` stays"
        )


@lru_cache(maxsize=256)
def _selects(clean: str) -> tuple[str, ...]:
    from sqlglot import exp, parse_one

    tree = parse_one(clean, read="duckdb")
    return tuple(tree.named_selects) if isinstance(tree, exp.Query) else ()


def _made(contract: Contract, clean: str) -> dict[str, str]:
    """Returns the generated statements for staging and the fact, by path."""
    columns = list(_columns(contract, clean))
    fact, staging = contract.tables[0], contract.staging
    made = {
        f"{_folder(staging)}/create.sql": _staging(contract, columns),
        f"{_folder(fact)}/create.sql": _fact(contract, columns),
        f"{_folder(fact)}/merge.sql": _merge(contract, [column.name for column in columns]),
    }
    if contract.erasure and fact in contract.erasure.tables:
        made[f"{_folder(fact)}/erase.sql"] = _erase(contract)
    return made


def _columns(contract: Contract, clean: str) -> Iterator[Derived]:
    """Yields the columns between FIRST and LAST in staging and core, in the order of the clean SQL."""
    file = f"include/sql/clean/{contract.feed}.sql"
    selected = [name for name in _selects(clean) if name not in {*FIRST, *LAST, "extra"}]
    derived = {column.name: column for column in contract.derived}
    passed_on = {column.name: _passed_on(column) for column in contract.columns}
    if unknown := [name for name in selected if name not in passed_on | derived]:
        raise PermanentError(
            f"{file}: selects {', '.join(unknown)}, whose types nothing says. Add them to `derived` in "
            f"include/feeds/{contract.feed}.yaml"
        )
    if unused := [name for name in derived if name not in selected]:
        raise PermanentError(
            f"include/feeds/{contract.feed}.yaml: derived: {', '.join(unused)}: {file} selects no such column"
        )
    _check_names(contract, selected)
    for name in selected:
        yield derived[name] if name in derived else passed_on[name]


def _passed_on(column: Column) -> Derived:
    kind, size = column.type, column.max_bytes
    if kind in TEXTS and size is None:
        longest = max(len(word.encode()) for word in column.accepted or {"": ()})
        size = max(SHORTEST_WORDS_BYTES, 1 << (longest - 1).bit_length())
    if column.privacy in {"mask", "hmac"}:
        kind, size = "string", MASKED_BYTES if column.privacy == "mask" else HMAC_DIGITS
    return Derived(name=column.name, type=kind, required=column.required, max_bytes=size)


def _kind(column: Derived) -> str:
    if column.decimal:
        return "DECIMAL({}, {})".format(*column.decimal)
    return f"VARCHAR({column.max_bytes})" if column.type in TEXTS else column.type.upper()


def _comment(text: str) -> str:
    """Returns the text in one line, without the braces that `redshift.render` uses for placeholders."""
    return " ".join(text.translate({ord("{"): " ", ord("}"): " "}).split())


def _staging(contract: Contract, columns: list[Derived]) -> str:
    lines = [
        "event_id VARCHAR(128) NOT NULL",
        "event_time TIMESTAMP NOT NULL",
        "event_version INTEGER NOT NULL",
        *(f"{column.name} {_kind(column)}{' NOT NULL' * column.required}" for column in columns),
        *(["extra VARCHAR(65535)"] if contract.unknown_keys == "keep" else []),
        "source_object VARCHAR(1024) NOT NULL",
        "source_line INTEGER NOT NULL",
    ]
    return (
        "-- grain: one event of the batch that is being loaded\n"
        f"-- source: Parquet of one batch, columns in the order of the clean SQL of {contract.feed}\n"
        "-- idempotent: emptied by the transaction that fills it; its lock serialises the loads of the feed\n"
        "-- re-run: creates nothing twice\n"
        f"CREATE TABLE IF NOT EXISTS {contract.staging} (\n{_listed(lines)}\n)\n"
    )


def _fact(contract: Contract, columns: list[Derived]) -> str:
    wanted = contract.distkey or contract.partition_key
    if contract.distkey and contract.distkey not in {column.name for column in columns}:
        raise PermanentError(
            f"include/feeds/{contract.feed}.yaml: distkey is {contract.distkey!r}, which is no column of core"
        )
    lines = [
        "event_id VARCHAR(128) NOT NULL",
        "event_time TIMESTAMP NOT NULL",
        "event_version INTEGER DEFAULT 1 NOT NULL",
        *(
            f"{column.name} {_kind(column)}"
            f"{f' DEFAULT {column.default}' if column.default is not None else ''}"
            f"{' NOT NULL' * column.required}{' DISTKEY' * (column.name == wanted)}"
            for column in columns
        ),
        *(["extra SUPER"] if contract.unknown_keys == "keep" else []),
        "PRIMARY KEY (event_id)",
    ]
    return (
        f"-- grain: {_comment(contract.grain)}, one row per event_id\n"
        f"-- source: {contract.staging}\n"
        "-- idempotent: merge.sql inserts only event ids that are not there\n"
        "-- re-run: creates nothing twice\n"
        f"CREATE TABLE IF NOT EXISTS {contract.tables[0]} (\n{_listed(lines)}\n)\nSORTKEY (event_time)\n"
    )


def _merge(contract: Contract, names: list[str]) -> str:
    names = [*FIRST, *names]
    values = [f"source.{name}" for name in names]
    if contract.unknown_keys == "keep":
        names, values = [*names, "extra"], [*values, "JSON_PARSE(source.extra)"]
    return (
        f"-- grain: {_comment(contract.grain)}, one row per event_id\n"
        f"-- source: {contract.staging}, from which the event ids that core has are already deleted\n"
        "-- idempotent: what is in staging is not in core; a lower version was deleted before\n"
        "-- re-run: inserts nothing\n"
        f"INSERT INTO {contract.tables[0]} (\n{_listed(names)}\n)\n"
        f"SELECT\n{_listed(values)}\nFROM {contract.staging} AS source\n"
    )


def _erase(contract: Contract) -> str:
    assert contract.erasure
    changed = ", ".join(f"{name} = {_literal(value)}" for name, value in contract.erasure.row.items())
    return (
        f"-- grain: {_comment(contract.grain)}\n"
        "-- source: none\n"
        "-- idempotent: yes; the values are those that the cleaning makes of an erased record\n"
        "-- re-run: finds no row of the customer\n"
        f"UPDATE {contract.tables[0]}\nSET {changed}\nWHERE {contract.erasure.customer} = :customer_id\n"
    )


def _literal(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


def main() -> None:
    """Prints the SQL of the feed named on the command line."""
    include = Path(__file__).resolve().parents[3] / "include"
    contracts = load_contracts(include / "feeds")
    if len(sys.argv) != 2 or sys.argv[1] not in contracts:
        sys.exit(f"usage: python -m ecommerce_elt.feeds.feed_sql FEED, one of: {', '.join(contracts)}")
    for path, text in statements(contracts[sys.argv[1]], include / "sql").items():
        origin = "" if (include / "sql" / path).exists() else " (made from the contract)"
        sys.stdout.write(f"-- include/sql/{path}{origin}\n{text.rstrip()};\n\n")


if __name__ == "__main__":
    main()
