"""The dashboard as code: valid for the service's API model, on columns that the data sets have, deployed without noise."""

import os
import subprocess
import sys

import botocore.session
import pytest
from botocore.validate import ParamValidator
from ecommerce_elt.dashboards.data_sets import DATA_SETS

from bi.quicksight.definition import definition, sheets
from local.supervision import wait_for
from tests.conftest import PROJECT

ACCOUNT = "000000000000"


@pytest.fixture(scope="module")
def model():
    return botocore.session.get_session().get_service_model("quicksight")


def test_the_definition_is_valid_for_the_service_model(model):
    made = definition({d.id: f"arn:aws:quicksight:us-east-1:{ACCOUNT}:dataset/{d.id}" for d in DATA_SETS})
    for operation, name in (("CreateDashboard", "DashboardId"), ("CreateAnalysis", "AnalysisId")):
        request = {"AwsAccountId": ACCOUNT, name: "x", "Name": "x", "Definition": made}
        report = ParamValidator().validate(request, model.operation_model(operation).input_shape)
        assert not report.has_errors(), report.generate_report()


def test_sheets_answer_what_the_shop_asks():
    assert [s.id for s in sheets()] == [
        "sales-trends",
        "best-sellers",
        "behaviour",
        "demographics",
        "consumption",
        "inventory",
        "forecast",
    ]
    visuals = [next(iter(v.values()))["VisualId"] for s in sheets() for v in s.visuals]
    assert len(set(visuals)) == len(visuals)
    # One identifier of API enums that botocore does not check.
    kinds = {shape for s in sheets() for v in s.visuals for shape in v}
    assert kinds <= set(botocore.session.get_session().get_service_model("quicksight").shape_for("Visual").members)


def _enums(shape, value, where):
    """Yields (where, value) of each string that its enum does not have: botocore checks shapes alone."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from _enums(shape.members[name], inner, f"{where}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            yield from _enums(shape.member, inner, where)
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield where, value


def test_every_word_is_one_of_the_api(model):
    made = definition({d.id: "arn" for d in DATA_SETS})
    assert list(_enums(model.shape_for("DashboardVersionDefinition"), made, "Definition")) == []


def deploy(cloud, *arguments):
    command = [sys.executable, "-m", "bi.quicksight.deploy", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=os.environ | cloud.user_environment(), capture_output=True, text=True
    )


SECRET = ("--secret-arn", "arn:aws:secretsmanager:us-east-1:000000000000:secret:x")


def test_a_second_deployment_changes_nothing(cloud, observer):
    done = deploy(cloud, *SECRET)  # the cloud was deployed once
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("unchanged") == len(DATA_SETS) + 1
    shown = observer.quicksight.describe_dashboard(AwsAccountId=ACCOUNT, DashboardId="ecommerce-dashboard")["Dashboard"]
    assert (shown["Version"]["Status"], shown["Version"]["VersionNumber"]) == ("CREATION_SUCCESSFUL", 1)


def test_another_prefix_lives_beside_it(cloud, observer):
    principal = f"arn:aws:quicksight:us-east-1:{ACCOUNT}:user/default/analyst"
    done = deploy(cloud, *SECRET, "--prefix", "shop2", "--principal", principal)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("created") == len(DATA_SETS) + 3
    ids = {d["DataSetId"] for d in observer.quicksight.list_data_sets(AwsAccountId=ACCOUNT)["DataSetSummaries"]}
    assert {d.physical_id("shop2") for d in DATA_SETS} <= ids
    wait_for(lambda: _ingested(observer, "shop2-inventory"), 30, "the first ingestion")


def _ingested(observer, name):
    past = observer.quicksight.list_ingestions(AwsAccountId=ACCOUNT, DataSetId=name)["Ingestions"]
    return past[0]["IngestionStatus"] == "COMPLETED"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param((), "--secret-arn is missing", id="no_secret"),
        pytest.param(
            (*SECRET, "--host", "elsewhere.example.com"), "Workgroup elsewhere does not exist", id="no_workgroup"
        ),
        pytest.param((*SECRET, "--database", "nothing"), 'database "nothing" does not exist', id="no_database"),
    ],
)
def test_mistakes_are_one_line(cloud, arguments, words):
    done = deploy(cloud, *arguments)
    assert done.returncode == 1
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
