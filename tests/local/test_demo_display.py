"""What the demo shows fits a terminal, moves only there, and says what to open."""

import io
import re
from decimal import Decimal

import pytest
from rich.console import Console

from local.demo_display import Display, Summary, print_summary

LINES, COLUMNS = 24, 80


def console(*, is_terminal):
    return Console(
        file=io.StringIO(), width=COLUMNS, height=LINES, force_terminal=is_terminal, _environ={"TERM": "xterm"}
    )


def text(console):
    """What was written, without the control sequences of a terminal."""
    return re.sub(r"\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def summary(rows, **other):
    """The counts of a run of so many rows a feed, in all feeds that a demo knows."""
    count = {"produced": rows, "raw": rows, "clean": rows, "quarantined": rows, "duplicates": rows, "warehouse": rows}
    feeds = ("online_retail", "product_events", "purchases", "unreadable")
    ways = dict.fromkeys(
        ("load_events", "dynamodb_writer", "Firehose"), (rows, Decimal(rows * 20) + Decimal("0.01"), 999.9)
    )
    made = Summary(dict.fromkeys(feeds, count), rows, 999.9, ways, (12, rows), (103, 0))
    return Summary(**{**vars(made), **other})


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "file"])
@pytest.mark.parametrize("rows", [3, 20_045, 541_909], ids=["few", "simulated", "the_real_file"])
def test_the_summary_fits_a_terminal(rows, is_terminal):
    shown = console(is_terminal=is_terminal)
    bigquery = "BigQuery has all 30 tables as Redshift has them; net revenue 97,477,479.34."
    print_summary(
        shown,
        summary(rows, bigquery=bigquery),
        airflow_url="http://127.0.0.1:18080",
        api_url="http://127.0.0.1:14566/_aws/execute-api/0123456789",
    )
    lines = text(shown).splitlines()
    assert len(lines) <= LINES - 1, "the prompt has the last line"
    assert max(map(len, lines)) <= COLUMNS, max(lines, key=len)
    assert "…" not in text(shown), "a number is cut off"
    assert any(f"{4 * rows:,}" in line for line in lines if line.startswith("all"))
    for url in ("http://127.0.0.1:18080/plugin/ecommerce", "http://127.0.0.1:18080/dags/load_events"):
        assert url in text(shown)


def test_one_feed_has_no_line_of_all():
    shown = console(is_terminal=False)
    one = {"online_retail": summary(7).counts["online_retail"]}
    print_summary(shown, summary(7, counts=one), airflow_url="http://127.0.0.1:8080", api_url="http://127.0.0.1:4566")
    assert not any(line.startswith("all") for line in text(shown).splitlines())


@pytest.mark.parametrize(("added", "is_said"), [(0, True), (1, False)], ids=["second_run", "first_run"])
def test_a_run_that_added_nothing_is_said_to(added, is_said):
    shown = console(is_terminal=False)
    print_summary(shown, summary(7, added=added), airflow_url="http://127.0.0.1:8080", api_url="http://127.0.0.1:4566")
    assert ("nothing was added, nothing is doubled" in text(shown)) == is_said


def test_without_a_terminal_a_stage_is_one_line():
    shown = console(is_terminal=False)
    with Display(shown) as display:
        for done in range(0, 1001, 10):
            display.show("stored", f"{done} of 1,000 events", done, 1000)
        display.finish("stored", "1,000 events")
    assert re.fullmatch(r"✓ stored: 1,000 events \d+\.\d s\n", text(shown))


def test_on_a_terminal_stages_are_one_live_display_of_its_width():
    shown = console(is_terminal=True)
    with Display(shown) as display:
        display.show("loaded or quarantined", "5,419,090 of 5,419,090 events", 5, 5)
        display.show("marts and dashboards", "23 marts behind core")
        display.finish("loaded or quarantined", "5,419,090 events")
        display.finish("marts and dashboards", "12 data sets have what the marts have")
        shown.print("a line of another part")
    last = [line for line in text(shown).splitlines() if line.strip()][-2:]
    assert [line.split()[0] for line in last] == ["✓", "✓"]
    assert all(len(line.rstrip()) <= COLUMNS and line.rstrip()[-1].isdigit() for line in last), last
