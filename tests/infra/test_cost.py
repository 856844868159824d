"""The hours that the warehouse is up, from the schedules, by the rules of its bill."""

import boto3
import cfnlint.decode
import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import Settings

from infra import preflight, stage_file
from infra.airflow_environment import variables
from infra.cost import ASLEEP, DAY_SECONDS, MODES, alarms, billed, month_of, most_objects_of_a_load, page, plan
from infra.stacks import TEMPLATES
from tests.conftest import PROJECT

STAGES = [file.stem for file in stage_file.STAGES.glob("*.yaml")]


@pytest.mark.parametrize(
    ("runs", "seconds"),
    [
        ([], 0),
        ([(0, 1)], 60),  # 60 seconds at least
        ([(0, 61)], 61),  # and each second after them
        ([(0, 1), (59, 62)], 62),  # the second finds it up
        ([(0, 1), (61, 62)], 120),  # here it had gone to sleep
        ([(10, 300), (20, 30), (300, 310)], 300),  # what overlaps is counted once
        ([(100, 101), (0, 1)], 120),
        ([(n * 10, n * 10 + 10) for n in range(8640)], DAY_SECONDS),
    ],
    ids=["nothing", "short", "longer", "up", "asleep", "overlapping", "unsorted", "all day"],
)
def test_the_bill(runs, seconds):
    assert billed(runs) == seconds


def test_a_load_as_events_arrive_keeps_it_up_all_day():
    assert plan(1000, {}, {}, exports=False).seconds() == DAY_SECONDS
    assert round(month_of(DAY_SECONDS, 8)) == 2190


def test_few_events_let_it_sleep():
    """One event in ten minutes is a load in ten minutes."""
    found = plan(1 / 600, {"DeliveryTo": "none"}, {}, exports=False)
    assert len(found.runs["loads"]) == 144
    assert found.seconds() < DAY_SECONDS / 4


def test_marts_keep_their_interval():
    found = plan(1000, {}, {"ECOMMERCE_MARTS_MIN_INTERVAL_SECONDS": "3600"}, exports=False)
    assert 20 <= len(found.runs["marts"]) <= 24


def test_nothing_wakes_it_at_night():
    chosen = plan(1000, {"DeliveryTo": "none"}, MODES[ASLEEP], exports=True)
    hours = {int(start // 3600) for runs in chosen.runs.values() for start, _ in runs}
    assert hours == set(range(6, 22))
    woken = plan(1000, {"DeliveryTo": "auto-copy"}, MODES[ASLEEP], exports=True)
    assert min(start for start, _ in woken.runs["COPY of Firehose's files"]) < 3600


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_has_settings_that_there_are(mode):
    for name, value in MODES[mode].items():
        assert name.removeprefix("ECOMMERCE_").lower() in Settings.model_fields, (name, value)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "as events arrive"])
def test_what_waits_for_its_load_is_no_difference(mode):
    """reconcile_layers reports what is not loaded after the settling time."""
    loads = plan(1000, {}, MODES[mode], exports=False).runs["loads"]
    starts = [start for start, _ in loads]
    longest = max(b - a for a, b in zip(starts, [*starts[1:], starts[0] + DAY_SECONDS], strict=True))
    assert int(MODES[mode]["ECOMMERCE_RECONCILE_SETTLE_MINUTES"]) * 60 > longest + 600


@pytest.mark.parametrize("name", STAGES)
def test_a_load_of_a_stage_takes_what_came_since_the_last(name):
    found = stage_file.load_stage(name)
    most = int(found.settings.get("ECOMMERCE_BATCH_MAX_OBJECTS", Settings.model_fields["batch_max_objects"].default))
    assert most_objects_of_a_load(found.events_per_second, found.parameters, found.settings) < most / 2


def test_the_page_has_the_tables_of_the_command():
    text = (PROJECT / "docs" / "cost.md").read_text()
    assert page() in text
    prod = stage_file.load_stage("prod")
    found = plan(prod.events_per_second, prod.parameters, prod.settings, exports=True)
    rpus = int(prod.parameters["RedshiftBaseCapacity"])

    def less(part):
        return round(month_of(found.seconds() - found.seconds(without=part), rpus))

    assert f"| BigQuery | {less('BigQuery')} and 7 |" in text
    files = less("COPY of Firehose's files")
    assert f"| Firehose's files | {files} |" in text
    assert f"{alarms()} alarms at 10 cents" in text
    assert less("forecast") < 1


def test_a_setting_that_there_is_not_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_file, "STAGES", tmp_path)
    monkeypatch.setattr(stage_file, "PROJECT_DIR", tmp_path)
    (tmp_path / "shop.yaml").write_text("prefix: shop\nsettings: {ECOMMERCE_LOAD_EVENT_SCHEDULE: '@arrival'}\n")
    with pytest.raises(PermanentError, match="ECOMMERCE_LOAD_EVENT_SCHEDULE"):
        stage_file.load_stage("shop")


def test_the_settings_of_a_stage_are_in_airflows_environment():
    names = ("AlertsTopicArn", "RawObjectsQueueName", "Bucket", "LakeDatabase", "AthenaWorkgroup", "Prefix")
    outputs = dict.fromkeys(names, "x") | {
        "DeliveryTo": "none",
        "Settings": '{"ECOMMERCE_LOAD_EVENTS_SCHEDULE": "0 * * * *"}',
    }
    outputs |= {
        f"{s}RoleArn": "arn"
        for s in ("Load", "Marts", "Dashboards", "Lake", "Erase", "Reconcile", "Features", "Bigquery", "Forecast")
    }
    found = variables(outputs)
    assert (found["ECOMMERCE_LOAD_EVENTS_SCHEDULE"], found["ECOMMERCE_HAS_DELIVERY"]) == ("0 * * * *", "false")


@pytest.mark.parametrize(
    ("region", "rpus", "good"), [("us-east-1", "4", True), ("sa-east-1", "4", None), ("sa-east-1", "8", True)]
)
def test_four_rpus_are_where_a_region_has_them(region, rpus, good):
    assert preflight._capacity(region, rpus).good is good


def test_the_template_takes_the_capacities_that_there_are():
    template = cfnlint.decode.decode(str(TEMPLATES / "warehouse.yaml"))[0]
    base = template["Parameters"]["RedshiftBaseCapacity"]
    assert [int(n) for n in base["AllowedValues"]] == [4, *range(8, 513, 8)]
    assert base["Default"] in base["AllowedValues"]
    assert boto3.session.Session().get_available_regions("redshift-serverless")  # the names above are of this list
    assert set(boto3.session.Session().get_available_regions("redshift-serverless")) >= preflight.HAS_4_RPUS
