"""A feed that was drafted after a sample is taken by HTTP: the API and the cleaning say the same of its records."""

import json
import shutil
from datetime import datetime
from decimal import Decimal

from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.scaffold.__main__ import app
from typer.testing import CliRunner

from infra.packages import lambda_contract
from tests.conftest import PROJECT
from tests.lambdas.test_ingest_api import api, post  # noqa: F401  # api is a fixture
from tests.scaffold.shop import HEADER, file_of
from tests.support.cleaning_bench import clean, rules


def till(receipt, pieces, price):
    values = [
        receipt,
        "03.02.2026 10:15",
        "00417",
        "Kaffeebecher",
        pieces,
        price,
        "19",
        "Zoë Weiß",
        "zoe@example.org",
        "Schweiz",
    ]
    return dict(zip(HEADER, values, strict=True))


def test_its_records_are_taken_and_cleaned_or_refused(api, monkeypatch, tmp_path, config):  # noqa: F811
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "include", project / "include")
    name, content = file_of(1)
    (tmp_path / name).write_bytes(content)
    done = CliRunner().invoke(app, ["kassen", str(tmp_path / name), "--project", str(project)])
    assert done.exit_code == 0, done.output
    contracts = load_contracts(project / "include/feeds")
    deployed = json.loads(json.dumps({feed: lambda_contract(contract) for feed, contract in contracts.items()}))
    monkeypatch.setattr(api, "contracts", lambda: deployed)

    records = [till("H-1", "3", "7,90"), till("H-2", "drei", "7,90"), till("H-3", "2", "1.249,00")]
    status, body, _, stream = post(api, monkeypatch, records, query={"feed": "kassen", "strict": "true"})
    assert (status, stream.stored) == (400, [])
    assert [(error["index"], error["field"], error["rule"]) for error in body["errors"]] == [(1, "Stück", "type")]

    status, body, _, stream = post(api, monkeypatch, records, query={"feed": "kassen"})
    assert (status, body["accepted"]) == (202, 3)
    assert [(told["index"], told["field"], told["rule"]) for told in body["warnings"]] == [(1, "Stück", "type")]
    status, _, _, alone = post(api, monkeypatch, [{"feed": "kassen", "data": till("H-4", "-1", "2,45")}])
    assert status == 202

    own = config.model_copy(update={"include_dir": project / "include"})
    events = [json.dumps(event).encode() for event in stream.stored + alone.stored]
    rows = clean(tmp_path, own, contracts["kassen"], "kassen", events)
    assert [(row["bon_nr"], row["event_time"], row["stueck"], row["einzelpreis_eur"]) for row in rows] == [
        ("H-1", datetime(2026, 2, 3, 10, 15), 3, Decimal("7.90")),
        ("H-2", datetime(2026, 2, 3, 10, 15), None, Decimal("7.90")),
        ("H-3", datetime(2026, 2, 3, 10, 15), 2, Decimal("1249.00")),
        ("H-4", datetime(2026, 2, 3, 10, 15), -1, Decimal("2.45")),
    ]
    assert [rules(row) for row in rows] == [set(), {("stueck", "type")}, set(), set()]
