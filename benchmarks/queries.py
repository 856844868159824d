"""Counts how many queries of AWS's own benchmark of warehouses the local Redshift stand-in answers.

The queries and tables are those of `src/CloudDataWarehouseBenchmark` in https://github.com/awslabs/amazon-redshift-utils,
derived from TPC-H and TPC-DS, of which a clone is needed. The tables are empty: a query counts as answered if it is
understood and runs, and its columns have types.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import tempfile
from pathlib import Path

from local.redshift.engine import Engine
from local.redshift.errors import SqlError

FOLDER = Path("src") / "CloudDataWarehouseBenchmark"
SETS = ("Cloud-DWB-Derived-from-TPCH", "Cloud-DWB-Derived-from-TPCDS")
SCALE = "3TB"  # the same tables and kinds of queries at each scale


def statements(text: str) -> list[str]:
    """Returns the statements of a file of SQL without its comments; no text in them has a semicolon."""
    return [found for part in re.sub(r"--[^\n]*", "", text).split(";") if (found := part.strip())]


def run(engine: Engine, sql: str) -> str:
    """Runs one statement, and returns why it failed; empty where it did not."""
    with contextlib.closing(engine.session()) as session:
        try:
            session.run([sql], {}, one_transaction=True, on_result=lambda *_: None)
        except SqlError as error:
            return str(error).splitlines()[0]
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path, help="the folder of a clone of amazon-redshift-utils")
    clone = parser.parse_args().clone
    for name in SETS:
        folder = clone / FOLDER / name / SCALE
        if not folder.is_dir():
            parser.error(f"{folder}: no such folder; expected a clone of amazon-redshift-utils")
        with tempfile.TemporaryDirectory() as work, contextlib.closing(Engine(Path(work) / "w.duckdb", None)) as engine:
            tables = [sql for sql in statements((folder / "ddl.sql").read_text()) if sql.lower().startswith("create")]
            if failed := [why for sql in tables if (why := run(engine, sql))]:
                parser.error(f"{folder / 'ddl.sql'}: {failed[0]}")
            queries = statements((folder / "queries" / "query_0.sql").read_text())
            refused = {sql: why for sql in queries if (why := run(engine, sql))}
        print(f"{name}: {len(queries) - len(refused)} of {len(queries)} queries answered")
        for sql, why in refused.items():
            label = re.search(r"TPC-\w+ \S+", sql)
            print(f"  {label[0] if label else sql[:40]}: {why}")


if __name__ == "__main__":
    main()
