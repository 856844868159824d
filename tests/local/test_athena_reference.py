"""Athena's answers on the stand-in: statements without tables, with the results of Trino's documentation and of its rules."""

from pathlib import Path

import pytest

from local.athena.query import Query
from local.athena.results import QueryFailed

FILE = Path(__file__).with_name("athena_reference.txt")


def _cases():
    found = []
    for number, line in enumerate(FILE.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("# "):
            continue
        if text.startswith(("names:", "types:", "=", "error:")):
            kind, _, rest = text.partition(":" if text[0] != "=" else "=")
            expected = found[-1][2]
            if text.startswith("="):
                expected.setdefault("rows", []).append(
                    [None if c == "(null)" else c for c in rest.strip().split(" | ")]
                )
            else:
                expected[kind] = rest.strip()
        else:
            found.append((number, text, {}))
    return found


@pytest.mark.parametrize(
    ("number", "sql", "expected"), [pytest.param(*case, id=f"line_{case[0]}") for case in _cases()]
)
def test_answer(tmp_path, number, sql, expected):
    query = Query(None, None, tmp_path)  # no statement reads a table
    if "error" in expected:
        with pytest.raises(QueryFailed) as raised:
            query.run(sql, "default")
        assert expected["error"] in str(raised.value)
        return
    result = query.run(sql, "default")
    assert result.rows == expected["rows"]
    if "names" in expected:
        assert [name for name, _ in result.columns] == expected["names"].split(" | ")
    if "types" in expected:
        assert [kind for _, kind in result.columns] == expected["types"].split(" | ")
