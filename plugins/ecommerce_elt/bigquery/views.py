"""The views in BigQuery: the warehouse's views on marts and the data sets for BI tools, from the same SQL files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ecommerce_elt.bigquery.place import Place
from ecommerce_elt.bigquery.statements import explained_errors
from ecommerce_elt.dashboards.data_sets import DATA_SETS
from ecommerce_elt.marts.builds import MARTS, VIEWS

DATA_SET_SCHEMA = "bi"


def views(where: Place, sql_dir: Path) -> dict[str, str]:
    """Returns the query of each view by its name in BigQuery, in an order in which they can be created."""
    # core.sales_line is left out because it is on facts, which BigQuery may not have.
    files = {name: sql_dir / name.replace(".", "/") / "create.sql" for name in VIEWS if name.startswith("mart.")}
    brought = {mart.table for mart in MARTS}  # the forecasts are not exported
    shown = [d for d in DATA_SETS if set(d.marts) <= brought]
    files |= {f"{DATA_SET_SCHEMA}.{d.id}": sql_dir / "export" / d.id / "select.sql" for d in shown}
    return {where.table(name): query(file.read_text("utf-8"), where) for name, file in files.items()}


def query(text: str, where: Place) -> str:
    """Returns a SELECT of the warehouse, or the SELECT of a view, translated to the SQL and tables of BigQuery."""
    import sqlglot
    from sqlglot import exp

    statement = sqlglot.parse_one(text, read="redshift")
    if isinstance(statement, exp.Create):
        statement = statement.expression
    for table in statement.find_all(exp.Table):
        if table.db:
            project, dataset, name = where.table(f"{table.db}.{table.name}").rsplit(".", 2)
            for part, value in (("catalog", project), ("db", dataset), ("this", name)):
                table.set(part, exp.to_identifier(value, quoted=True))
    return str(statement.transform(_as_decimal).sql("bigquery", comments=False))


def _as_decimal(node: Any) -> Any:
    """Converts Redshift's decimals to NUMERIC, and returns the converted node.

    A cast to DECIMAL(p, s) rounds to s digits, while a cast to NUMERIC keeps nine, so ROUND is added. Both operands of
    a division are cast first, because BigQuery divides INT64 as FLOAT64.
    """
    from sqlglot import exp

    if isinstance(node, exp.Div):
        parts = (exp.cast(part.transform(_as_decimal), "decimal") for part in (node.left, node.right))
        return exp.Div(**dict(zip(("this", "expression"), parts, strict=True)))
    if isinstance(node, exp.Cast) and node.to.is_type("decimal") and len(node.to.expressions) == 2:
        value = node.this.transform(_as_decimal)
        is_numeric = isinstance(value, exp.Div)
        return exp.Round(
            this=value if is_numeric else exp.cast(value, "decimal"), decimals=node.to.expressions[1].this.copy()
        )
    return node


def create_views(client: Any, where: Place, sql_dir: Path) -> list[str]:
    """Creates views that are missing in BigQuery or have another query, and returns their names."""
    from google.api_core.exceptions import NotFound
    from google.cloud.bigquery import Table

    made = []
    for name, wanted in views(where, sql_dir).items():
        with explained_errors(wanted):
            try:
                there = client.get_table(name)
            except NotFound:
                there = None
            if there is not None and _words(there.view_query or "") == _words(wanted):
                continue
            if there is not None:
                client.delete_table(name)
            view = Table(name)
            view.view_query = wanted
            client.create_table(view, exists_ok=True)
            made.append(name)
    return made


def _words(text: str) -> Iterable[str]:
    return re.split(r"\s+", text.strip())
