"""A shop that nothing here knows, as a new user has it: one command, `make up`, and its twelve files are in core and in the marts."""

import os
import shutil
import subprocess
import sys
from decimal import Decimal

import httpx
import pytest
import yaml

from local.observer import Observer
from local.services import SERVICES
from local.supervision import wait_for
from tests.conftest import PROJECT, new_stack
from tests.e2e.test_lake import land, report
from tests.scaffold.shop import HEADER, file_of, lines

pytestmark = pytest.mark.nightly
LEFT_BEHIND = (
    ".git",
    ".venv",
    ".local",
    ".hypothesis",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    "__pycache__",
    "*.egg-info",
    "images",
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout of the project of its own, whose code and feeds the stack runs, and what is said to its commands."""
    folder = tmp_path_factory.mktemp("new") / "shop"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    stack = new_stack(folder / ".local")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "ECOMMERCE_"))}
    env |= {service.variable: str(stack.ports[service.name]) for service in SERVICES}
    env["PYTHONPATH"] = str(folder / "plugins")

    def run(*command):
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, env=env, check=True, capture_output=True, text=True
        ).stdout

    yield folder, stack, run
    run("local", "down")


@pytest.mark.timeout(900)
def test_a_shop_that_nobody_knows_is_loaded_after_one_command(checkout, tmp_path):
    folder, stack, run = checkout
    name, content = file_of(1)
    (tmp_path / name).write_bytes(content)
    said = run("ecommerce_elt.scaffold", "kassen", str(tmp_path / name))
    assert "60 of 60 rows are clean" in said
    contract = yaml.safe_load((folder / "include/feeds/kassen.yaml").read_text())
    assert contract["plays"]["sale"] == {
        "order": "bon_nr",
        "product": "art_nr",
        "product_name": "artikelbezeichnung",
        "quantity": "stueck",
        "unit_price": "einzelpreis_eur",
        "customer": "e_mail_adresse",
        "country": "lieferland",
        "currency": "EUR",
    }

    run("local", "up")
    observer = Observer.of(stack)
    files = {}
    for month in range(1, 13):
        name, content = file_of(month)
        files[f"landing/kassen/{name}"] = [line for line, _ in lines(month)]
        land(observer, f"landing/kassen/{name}", content)
    for key, sold in files.items():
        found = report(observer, key, 300)
        assert (found["state"], found["rows"], found["clean"], found["quarantined"]) == (
            "loaded",
            len(sold),
            len(sold),
            0,
        ), key
        assert {kind: of["rows"] for kind, of in found["left_out"].items()} == {
            "title": 2,
            "blank": 3 if key.endswith(".xlsx") else 4,  # a workbook has no blank row at its end
            "repeated_header": 2,
        }, key

    rows = observer.warehouse.query("SELECT bon_nr, event_time, art_nr, stueck, einzelpreis_eur FROM core.fact_kassen")
    expected = [
        (n.receipt, f"{n.at:%Y-%m-%d %H:%M:%S.0}", n.product, n.pieces, f"{n.price}")
        for sold in files.values()
        for n in sold
    ]
    assert sorted(rows) == sorted(expected)
    [[ids]] = observer.warehouse.query("SELECT COUNT(DISTINCT event_id) FROM core.fact_kassen")
    assert ids == len(expected) == 720

    # The same files again, under another name: every row is known.
    name, content = file_of(2)
    land(observer, f"landing/kassen/again-{name}", content)
    again = report(observer, f"landing/kassen/again-{name}", 300)
    assert (again["rows"], again["clean"], again["duplicates"]) == (60, 0, 60)

    # Nobody is passed on.
    people = observer.warehouse.query(
        "SELECT DISTINCT e_mail_adresse FROM core.fact_kassen WHERE e_mail_adresse IS NOT NULL"
    )
    assert sorted(len(row[0]) for row in people) == [64, 64, 64]

    total = sum((n.pieces * n.price for sold in files.values() for n in sold), Decimal(0))
    wanted = [("kassen", "EUR", f"{total:.3f}")]

    def in_the_marts():
        sql = "SELECT feed, currency, CAST(SUM(net_revenue) AS DECIMAL(18, 3)) FROM mart.sales_daily GROUP BY feed, currency"
        return observer.warehouse.query(sql) == wanted

    wait_for(in_the_marts, 240, "the sales in the marts", 1)


def till(receipt, pieces, price, at="03.02.2026 10:15"):
    values = [
        receipt,
        at,
        "00417",
        "Kaffeebecher, blau",
        pieces,
        price,
        "19",
        "Zoë Weiß",
        "zoe.weiss@example.org",
        "Schweiz",
    ]
    return dict(zip(HEADER, values, strict=True))


@pytest.mark.timeout(600)
def test_its_events_are_taken_by_http(checkout):
    """After the test before: records of the feed, with the headers of its files, by POST /events."""
    _, stack, _ = checkout
    observer, env = Observer.of(stack), stack.user_environment()
    with httpx.Client(
        base_url=env["ECOMMERCE_API_URL"], headers={"x-api-key": env["ECOMMERCE_API_KEY"]}, timeout=60
    ) as api:
        good, broken = till("H-1", "3", "7,90"), till("H-2", "drei", "7,90")
        refused = api.post("/events", params={"feed": "kassen", "strict": "true"}, json=[good, broken])
        assert refused.status_code == 400, refused.text
        assert [(error["index"], error["field"], error["rule"]) for error in refused.json()["errors"]] == [
            (1, "Stück", "type")
        ]
        answer = api.post("/events", params={"feed": "kassen"}, json=[good, broken, till("H-3", "2", "1.249,00")])
        envelope = api.post("/events", json=[{"feed": "kassen", "data": till("H-4", "-1", "2,45")}])
    assert (answer.status_code, envelope.status_code) == (202, 202), answer.text + envelope.text
    assert [(told["index"], told["field"], told["rule"]) for told in answer.json()["warnings"]] == [
        (1, "Stück", "type")
    ]
    ids = answer.json()["event_ids"] + envelope.json()["event_ids"]

    def in_core():
        return observer.warehouse.query(
            "SELECT event_id, bon_nr, event_time, stueck, einzelpreis_eur FROM core.fact_kassen WHERE bon_nr LIKE 'H-%' ORDER BY bon_nr"
        )

    wait_for(lambda: len(in_core()) == 3, 300, "the events in core", 0.5)
    time = "2026-02-03 10:15:00.0"
    assert in_core() == [
        (ids[0], "H-1", time, 3, "7.90"),
        (ids[2], "H-3", time, 2, "1249.00"),
        (ids[3], "H-4", time, -1, "2.45"),
    ]
    rejected = "SELECT event_id, reasons, state FROM ops.quarantine WHERE feed = 'kassen'"
    wait_for(lambda: observer.warehouse.query(rejected), 300, "the rejected event", 0.5)
    assert observer.warehouse.query(rejected) == [(ids[1], "stueck: type", "open")]
