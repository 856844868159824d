"""Writes the table of docs/redshift.md from include/sql and the contracts; `--check` fails where the page is not what they say.

What a statement needs and reads is read from its tree: the tables, the leading sort key in a range or an equation, the
distribution key in the condition of a join. What was judged by hand stands above the table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.marts import checks
from ecommerce_elt.warehouse.redshift import render
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from local.redshift import copy_jobs, dialect
from local.redshift.copy_from_s3 import parse_copy
from local.redshift.unload import parse_unload

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "redshift.md"
SQL = PROJECT / "include" / "sql"
BEGIN, END = "<!-- statements -->", "<!-- end of statements -->"
OTHER_ENGINES = {"athena", "bigquery", "clean", "lake"}
# One value of each name that a file takes. The feed is one whose core table Firehose fills beside.
NAMES = {
    "staging": "staging.online_retail",
    "fact": "core.fact_invoice_line",
    "copy_manifest": "s3://bucket/m.json",
    "object_counts": "s3://bucket/o",
    "copy_role": "'arn:aws:iam::000000000000:role/r'",
    "delivered_rows": "s3://bucket/firehose/rows/",
    "table": "mart.sales_daily",
    "period": "day",
    "key": "invoice_no",
    "customer": "customer_id",
    "known_prefix": "s3://bucket/k/",
    "columns": "event_id, event_time",
    "quarantine_rows": "s3://bucket/q/",
    "features_prefix": "s3://bucket/f/",
    "withdrawn_events": "s3://bucket/w/",
    "replaced_values": "s3://bucket/r/",
    "tables": "'mart.sales_daily'",
    "unload_prefix": "s3://bucket/u/",
    "replaced": "TRUE",
    "forecast_files": "s3://bucket/forecast/",
    "warehouse_totals": "'rows=' || CAST(COUNT(*) AS VARCHAR)",
    "batch_id": "purchases-20260101T000000Z-0123456789abcdef",
    "export_id": "0" * 36,
}
# Tables with a row an event, or an object, or a batch: what grows without end. Views stand for what they read.
GROWING = {
    "core.firehose_transactions",
    "core.firehose_transactions_once",
    "core.sales_line",
    "core.sale",
    "ops.event_day",
    "ops.batch_object",
    "ops.batch_audit",
    "ops.quarantine",
    "ops.quarantine_reason",
    "ops.quarantine_closed",
    "ops.known_event",
    "ops.correction",
    "ops.withdrawal",
}
SORTED_VIEWS = {"core.sales_line": "event_time", "core.sale": "event_time", "core.firehose_transactions_once": ""}
# What no test here can prove, by what a statement has; infra/first_run.py asks it.
UNPROVEN = [
    ("LOCK", r"^LOCK\b"),
    ("columns of Parquet", r"FORMAT AS PARQUET\s+MANIFEST"),
    ("COPY of JSON", r"^COPY\b.*JSON(?!.*JOB CREATE)"),
    ("COPY job", r"JOB CREATE|COPY JOB|sys_copy_job"),
    ("ranges from a subquery", r"event_time [<>]=? \(SELECT"),
    ("MERGE", r"^MERGE"),
    ("a check that fails a transaction", r"ELSE CAST\("),
    ("LIKE of a table", r"\(LIKE "),
    ("UNLOAD", r"^UNLOAD"),
    ("roles", r"^GRANT|^CREATE ROLE|svv_roles"),
    ("VACUUM by sys:operator", r"^VACUUM|^ANALYZE"),
    ("hash keys", r"STRTOL\("),
]


@dataclass(frozen=True)
class Keys:
    """How Redshift lays a table out."""

    distribution: str = ""  # a column, ALL, or nothing, which is AUTO
    sort: str = ""  # the leading column


@dataclass
class Facts:
    """What one statement needs and reads."""

    verb: str = ""
    privileges: dict[str, set[str]] = field(default_factory=dict)  # table to SELECT, INSERT, ...
    reads: dict[str, bool] = field(default_factory=dict)  # table that grows to whether its leading sort key bounds it
    joins: set[str] = field(default_factory=set)

    def need(self, privilege: str, table: str) -> None:
        if "." in table and not table.startswith("information_schema"):
            self.privileges.setdefault(table, set()).add(privilege)


def statements() -> dict[str, str]:
    """Returns the name of each statement to its text: files of include/sql, and what checks.yaml and the contracts make."""
    found = {}
    for path in sorted(SQL.rglob("*.sql")):
        name = str(path.relative_to(SQL))
        if path.relative_to(SQL).parts[0] not in OTHER_ENGINES:
            found[name] = path.read_text("utf-8")
    for path in sorted(SQL.rglob(checks.FILE)):
        found[str(path.relative_to(SQL))] = checks.statement(path.parent)
    for contract in load_contracts(PROJECT / "include" / "feeds").values():
        for name, text in feed_sql.statements(contract, SQL).items():
            if name not in found and not name.startswith("clean/"):
                found[f"{name} (made)"] = text
    return found


def layout() -> dict[str, Keys]:
    """Returns the keys of each table."""
    found = {}
    for text in statements().values():
        for sql in _split(text):
            created = re.search(r"CREATE (?:TEMPORARY )?TABLE (?:IF NOT EXISTS )?([\w.]+)", sql)
            if not created:
                continue
            column = re.search(r"^\s*(\w+) [^\n]*\bDISTKEY\b", sql, re.MULTILINE) or re.search(
                r"DISTKEY \((\w+)\)", sql
            )
            distribution = "ALL" if "DISTSTYLE ALL" in sql else column[1].lower() if column else ""
            sort = re.search(r"SORTKEY \((\w+)", sql)
            found[created[1].lower()] = Keys(distribution, sort[1].lower() if sort else "")
    return found | {name: Keys(sort=column) for name, column in SORTED_VIEWS.items()}


def _split(text: str) -> list[str]:
    known = {name: NAMES[name] for name in re.findall(r"\{([a-z_]+)\}", text)}
    bare = re.sub(r"^\s*--.*$", "", render(text, known), flags=re.MULTILINE)
    return [part.strip() for part in bare.split(";\n") if part.strip()]


def facts_of(sql: str, keys: dict[str, Keys]) -> Facts:
    """Returns what one statement needs and reads."""
    words = dialect.words(sql)
    facts = Facts(words[0])
    if words[0] == "LOCK":
        facts.need("LOCK", words[1].lower() if len(words) > 1 else "")
        return facts
    if words[0] in {"GRANT", "VACUUM", "ANALYZE"} or words[:2] in (("CREATE", "ROLE"), ("COPY", "JOB")):
        return facts
    if words[0] == "COPY":
        text = copy_jobs.parse_create(sql)[0] if copy_jobs.is_about_a_job(sql) else sql
        facts.need("INSERT", parse_copy(text).table)
        return facts
    tree = dialect.parse(parse_unload(sql).query if words[0] == "UNLOAD" else sql)
    target = _target(tree)
    if target:
        verbs = {
            exp.Insert: ["INSERT"],
            exp.Update: ["UPDATE"],
            exp.Delete: ["DELETE"],
            exp.Merge: ["INSERT", "UPDATE"],
            exp.Create: ["CREATE"],
            exp.Alter: ["ALTER"],
            exp.Drop: ["DROP"],
        }
        for verb in verbs.get(type(tree), []):
            facts.need(verb, target)
    for table in tree.find_all(exp.Table):
        name = _name(table)
        if name != target or not isinstance(tree, exp.Create | exp.Insert):
            facts.need("SELECT", name)
    for query in _queries(tree):
        for scope in traverse_scope(query):
            _read(scope, facts, keys)
    if isinstance(tree, exp.Update | exp.Delete) and target:
        _bounded(tree, {target.rpartition(".")[2]: target}, facts, keys)
    return facts


def _name(table: exp.Table) -> str:
    return f"{table.db}.{table.name}".lower() if table.db else table.name.lower()


def _target(tree: exp.Expr) -> str:
    found = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    writes = isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.Create | exp.Alter | exp.Drop)
    return _name(found) if writes and isinstance(found, exp.Table) else ""


def _queries(tree: exp.Expr) -> Iterator[exp.Query]:
    if isinstance(tree, exp.Query):
        yield tree
    elif isinstance(tree, exp.Merge):
        yield from (found.this for found in tree.find_all(exp.Subquery) if not found.find_ancestor(exp.Subquery))
    elif isinstance(tree.args.get("expression"), exp.Query):
        yield tree.expression
    else:
        yield from (found for found in tree.find_all(exp.Select) if not found.find_ancestor(exp.Select))


def _read(scope: Scope, facts: Facts, keys: dict[str, Keys]) -> None:
    tables = {alias.lower(): _name(source) for alias, source in scope.sources.items() if isinstance(source, exp.Table)}
    _bounded(scope.expression, tables, facts, keys)
    for join in scope.expression.args.get("joins") or []:
        on = join.args.get("on")
        right = tables.get(join.alias_or_name.lower(), "")
        for left in {c.table.lower() for c in on.find_all(exp.Column)} - {join.alias_or_name.lower()} if on else ():
            pair = [tables.get(left, ""), right]
            if any(name in GROWING or name.startswith("core.fact_") for name in pair):
                facts.joins.add(_join(pair, on, keys))


def _join(pair: list[str], on: exp.Expr, keys: dict[str, Keys]) -> str:
    names = [name or "a subquery" for name in pair]
    laid = [keys.get(name, Keys()).distribution for name in pair]
    equal = {
        (e.left.name.lower(), e.right.name.lower())
        for e in on.find_all(exp.EQ)
        if isinstance(e.left, exp.Column) and isinstance(e.right, exp.Column)
    }
    if "ALL" in laid:
        how = "on every node"
    elif all(laid) and ((laid[0], laid[1]) in equal or (laid[1], laid[0]) in equal):
        how = "each row where it lies"
    else:
        how = "one side moves"
    return f"{' × '.join(sorted(names))}: {how}"


def _bounded(query: exp.Expr, tables: dict[str, str], facts: Facts, keys: dict[str, Keys]) -> None:
    where = [query.args.get("where"), *(join.args.get("on") for join in query.args.get("joins") or [])]
    compared = [
        c
        for part in where
        if part
        for c in part.find_all(exp.GT, exp.GTE, exp.LT, exp.LTE, exp.EQ, exp.Between, exp.In)
    ]
    for alias, table in tables.items():
        if table not in GROWING and not table.startswith("core.fact_"):
            continue
        column = keys.get(table, Keys()).sort
        bounded = any(
            isinstance(side, exp.Column) and side.name.lower() == column and side.table.lower() in {alias, ""}
            for comparison in compared
            for side in (comparison.this, comparison.args.get("expression"))
        )
        facts.reads[table] = facts.reads.get(table, True) and bounded


def rows() -> Iterator[str]:
    keys = layout()
    for name, text in sorted(statements().items()):
        parts = [(sql, facts_of(sql, keys)) for sql in _split(text)]
        verbs = ", ".join(dict.fromkeys(facts.verb for _, facts in parts))
        needed: dict[str, set[str]] = {}
        for _, facts in parts:
            for table, privileges in facts.privileges.items():
                needed.setdefault(table, set()).update(privileges)
        needs = "; ".join(f"{', '.join(sorted(words))} {table}" for table, words in sorted(needed.items()))
        reads = {table: bounded for _, facts in parts for table, bounded in facts.reads.items()}
        read = "; ".join(
            f"{table} {f'by {keys[table].sort}' if bounded else '**whole**'}"
            for table, bounded in sorted(reads.items())
        )
        joined = "; ".join(sorted({join for _, facts in parts for join in facts.joins}))
        unproven = ", ".join(what for what, has in UNPROVEN if any(re.search(has, sql, re.DOTALL) for sql, _ in parts))
        yield f"| `{name}` | {verbs} | {needs} | {read} | {joined} | {unproven} |"


def page() -> str:
    text = PAGE.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    table = [
        "| statement | is | needs | of what grows it reads | joins with what grows | not proven here |",
        "|---|---|---|---|---|---|",
    ]
    return f"{head}{BEGIN}\n" + "\n".join([*table, *rows()]) + f"\n{END}{tail}"


def main() -> int:
    wanted = page()
    if "--check" not in sys.argv:
        PAGE.write_text(wanted, "utf-8")
    elif PAGE.read_text("utf-8") != wanted:
        sys.stderr.write("docs/redshift.md is not what include/sql says; run: python docs/generate_redshift.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
