"""Generates the test of a new feed: rows in the shape of the sample, with made-up values."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta
from typing import Any

from ecommerce_elt.scaffold.contract_file import Roles
from ecommerce_elt.scaffold.sample import Sample
from ecommerce_elt.scaffold.values import Found

ROWS = 4
FIRST = datetime(2026, 1, 2, 13, 4, 5)
TEMPLATE = '''"""Files of the feed {feed}, read and cleaned under its contract. The values are made up; the shape is that of a sample."""

from ecommerce_elt.scaffold.trial import trial

FILE = """\\
{text}"""


def test_a_file_of_this_shape_is_clean(tmp_path, contracts):
    path = tmp_path / "{feed}.csv"
    path.write_text(FILE, "utf-8")
    found = trial(path, contracts["{feed}"])
    assert (found.rows, dict(found.rejected)) == ({rows}, {{}})
    assert len({{row["event_id"] for row in found.clean}}) == {rows}


def test_a_row_without_its_time_is_rejected(tmp_path, contracts):
    path = tmp_path / "{feed}.csv"
    path.write_text(FILE.replace({time}, ""), "utf-8")
    found = trial(path, contracts["{feed}"])
    assert (found.rows, found.rejected_rows) == ({rows}, 1)
    assert ("{event_time}", "required") in found.rejected
'''
PERSONS = """

PERSONS = {{
{persons}
}}


def test_nobody_is_passed_on(tmp_path, contracts):
    path = tmp_path / "{feed}.csv"
    path.write_text(FILE, "utf-8")
    passed_on = {{value for row in trial(path, contracts["{feed}"]).clean for value in row.values()}}
    assert passed_on.isdisjoint(PERSONS)
"""


def test_of(feed: str, sample: Sample, roles: Roles) -> str:
    """Returns the text of the test module."""
    settings = [column.settings for column in sample.columns]
    has_comma = any("decimal_comma" in each.get("numbers", ()) for each in settings)
    delimiter = ";" if has_comma else ","
    rows = [[_value(column, number) for column in sample.columns] for number in range(ROWS)]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow([column.header for column in sample.columns])
    writer.writerows(rows)
    place = sample.columns.index(roles.event_time)
    text = out.getvalue().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    test = TEMPLATE.format(
        feed=feed, text=text, rows=ROWS, time=json.dumps(rows[1][place]), event_time=roles.event_time.name
    )
    persons = sorted({row[i] for row in rows for i, column in enumerate(sample.columns) if column.is_personal})
    return test + (
        PERSONS.format(feed=feed, persons="\n".join(f"    {json.dumps(text)}," for text in persons)) if persons else ""
    )


def _value(column: Found, number: int) -> str:
    settings = column.settings
    if column.kind == "timestamp":
        return _time(settings.get("formats", ()), FIRST + timedelta(days=number, minutes=number))
    if column.kind == "boolean":
        return "true" if number % 2 else "false"
    if column.is_number:
        return _number(column, number)
    if accepted := settings.get("accepted"):
        return str(list(accepted)[number % len(accepted)])
    text = (
        _person(column, number)
        if column.is_personal
        else f"{1001 + number}"
        if column.kind == "identifier"
        else f"Text {number + 1}"
    )
    return text.encode()[: settings.get("max_bytes", 256)].decode(errors="ignore")


def _person(column: Found, number: int) -> str:
    why = next((doubt for doubt in column.doubts if "looks personal" in doubt), "")
    if "e-mail" in why:
        return f"a{number}@example.org"
    if "phone" in why:
        return f"+44 20 7946 000{number}"  # a range that Ofcom does not assign
    if "of the net" in why:
        return f"192.0.2.{number + 1}"  # RFC 5737
    return f"Made Up {number + 1}"


def _number(column: Found, number: int) -> str:
    settings: dict[str, Any] = column.settings
    if not column.kind.startswith("decimal"):
        return str(number + 1)
    scale = int(column.kind[:-1].split(",")[1])
    return f"{number + 2.5:.{scale}f}".replace(".", "," if "decimal_comma" in settings.get("numbers", ()) else ".")


def _time(formats: tuple[str, ...], moment: datetime) -> str:
    name = formats[0] if formats else ""
    match name:
        case "":
            return moment.isoformat(" ")
        case "YYYYMMDD":
            return f"{moment:%Y%m%d}"
        case "epoch_seconds" | "epoch_millis":
            seconds = int((moment - datetime(1970, 1, 1)).total_seconds())
            return str(seconds if name == "epoch_seconds" else seconds * 1000)
    moment += timedelta(days=20)  # a day above 12, which cannot be a month
    date, _, time = name.partition(" ")
    for letters, value in (
        ("YYYY", f"{moment:%Y}"),
        ("YY", f"{moment:%y}"),
        ("M", f"{moment.month}"),
        ("D", f"{moment.day}"),
    ):
        date = date.replace(letters, value)
    hour = (
        f"{moment.hour % 12 or 12}:{moment:%M} {'PM' if moment.hour > 11 else 'AM'}"
        if time.endswith("AM")
        else f"{moment:%H:%M}"
    )
    return f"{date} {hour}" if time else date
