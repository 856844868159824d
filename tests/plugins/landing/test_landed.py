"""The result of landing files passes from task to task."""

import json
from dataclasses import asdict

from ecommerce_elt.landing.landed import Landed

from tests.support.file_formats import as_csv, as_lines, as_records
from tests.support.landed_files import ROWS
from tests.support.spreadsheets import as_zip


def test_what_a_run_keeps_of_landed_files_survives_its_way_through_json(land):
    landed = land(as_zip({"a.csv": as_csv(ROWS), "b": as_lines(as_records(ROWS))}), "landing/product_events/all.zip")
    assert Landed.of(json.loads(json.dumps(asdict(landed)))) == landed
