"""What a benchmark found: Markdown on the terminal, JSON under build/, both with the commit and the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from local.stack import PROJECT_DIR

Row = dict[str, Any]


def markdown(rows: Sequence[Row]) -> str:
    """Returns the rows as a Markdown table; the columns are the keys of the rows, in the order in which they come."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_text(row.get(name)) for name in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def machine() -> dict[str, Any]:
    """Returns the commit, the number of cores, and when."""
    run = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=PROJECT_DIR, capture_output=True, text=True)
    commit = run.stdout.strip() if run.returncode == 0 else "unknown"
    return {
        "commit": commit,
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "measured_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


def publish(name: str, tables: dict[str, Sequence[Row]]) -> None:
    """Prints the tables and writes build/benchmark-<name>.json."""
    about = machine()
    print(f"\nCommit {about['commit']}, {about['cores']} cores, Python {about['python']}, {about['measured_at']}.")
    for title, rows in tables.items():
        print(f"\n**{title}**\n\n{markdown(rows)}")
    path = PROJECT_DIR / "build" / f"benchmark-{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**about, "tables": tables}, indent=1))
    print(f"\n{path.relative_to(PROJECT_DIR)}", flush=True)
