"""Writes the table in docs/local-redshift.md from the statements of tests/local/redshift_reference; `--check` fails where it is not theirs.

The table counts what each statement expects; that the stand-in answers so is what tests/local/test_redshift_reference.py shows.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.local.redshift_reference import statements  # noqa: E402

PAGE = PROJECT / "docs" / "local-redshift.md"
BEGIN, END = "<!-- table: written by make docs -->", "<!-- end of the table -->"


def table() -> Iterator[str]:
    """Yields the lines of the table: a chapter with its counts, and what of it is refused."""
    yield "| chapter | statements | right | refused | what is refused |"
    yield "|---|---:|---:|---:|---|"
    total: Counter[str] = Counter()
    for chapter, counted in statements.counts().items():
        refused = dict.fromkeys(s.refused for s in statements.chapters()[chapter] if s.refused)
        shown = "; ".join(f"`{text}`" for text in list(refused)[:6]) + ("; ..." if len(refused) > 6 else "")
        yield _row(chapter.replace("_", " "), counted, shown)
        total += counted
    yield _row("**all**", total, "")


def _row(name: str, counted: Counter[str], shown: str) -> str:
    cells = shown.replace("|", "\\|")
    return f"| {name} | {counted.total()} | {counted['right']} | {counted['refused']} | {cells} |"


def page() -> str:
    """Returns the page with the table between its marks."""
    text = PAGE.read_text("utf-8")
    before, found, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not found or not end:
        sys.exit(f"docs/local-redshift.md lacks the marks {BEGIN} and {END}")
    return "\n".join([before + BEGIN, "", *table(), "", END + after])


def main() -> None:
    made = page()
    if "--check" in sys.argv:
        if PAGE.read_text("utf-8") != made:
            sys.exit("docs/local-redshift.md is not what the statements say; run: make docs")
        return
    PAGE.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
