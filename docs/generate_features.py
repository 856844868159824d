"""Writes the dictionary in docs/features.md from include/sql/features; `--check` fails where the page is not what the SQL says.

A column is described once, in the header of the data set's create.sql: `-- feature NAME: what it is`, or `-- key`, or `-- label`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ecommerce_elt.features.data_sets import DATA_SETS, columns

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "features.md"
SQL = PROJECT / "include" / "sql"
BEGIN, END = "<!-- dictionary: written by make docs -->", "<!-- end of the dictionary -->"


def dictionary() -> Iterator[str]:
    """Yields the lines of the dictionary: of each data set its grain, then each column with its type, role and rule."""
    for name in DATA_SETS:
        text = (SQL / "features" / name / "create.sql").read_text("utf-8")
        grain = re.match(r"-- grain: (.+)\n", text)
        assert grain, f"features/{name}/create.sql does not begin with its grain"
        yield from (
            f"### {name}",
            "",
            f"A row is {grain[1]}.",
            "",
            "| column | type | role | is |",
            "|---|---|---|---|",
        )
        for column in columns(name, SQL):
            yield f"| `{column.name}` | {column.type} | {column.role} | {column.description} |"
        yield ""


def page() -> str:
    """Returns the page with the dictionary between its marks."""
    text = PAGE.read_text("utf-8")
    before, found, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not found or not end:
        sys.exit(f"docs/features.md lacks the marks {BEGIN} and {END}")
    return "\n".join([before + BEGIN, "", *dictionary(), END + after])


def main() -> None:
    made = page()
    if "--check" in sys.argv:
        if PAGE.read_text("utf-8") != made:
            sys.exit("docs/features.md is not what the SQL says; run: make docs")
        return
    PAGE.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
