"""The template of the lake, and the package of the Glue job."""

import json

import cfnlint.decode
import pytest

from infra.packages import JOB, JOB_MODULES, PACKAGE, package_job
from infra.stacks import TEMPLATES
from tests.conftest import PROJECT
from tests.support.imports import imported_at_run_time

# What Glue 5 has without being asked: "Python modules already provided in AWS Glue", Glue developer guide.
PROVIDED = {"boto3", "botocore", "pyarrow", "pyspark", "ecommerce_elt"}


@pytest.fixture(scope="module")
def resources():
    template, problems = cfnlint.decode.decode(str(TEMPLATES / "analytics.yaml"))
    assert problems == []
    return template["Resources"]


def test_the_job_imports_nothing_that_glue_lacks():
    import sys

    packaged = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in JOB_MODULES}
    for path in (JOB, *JOB_MODULES):
        for name in imported_at_run_time(path):
            top = name.partition(".")[0]
            assert top in PROVIDED or top in sys.stdlib_module_names, f"{path.name} imports {name}"
            if top == "ecommerce_elt" and "." in name:
                assert {name, f"{name}.__init__"} & packaged, f"{path.name} imports {name}, which is not packaged"


def test_every_feed_is_translated(contracts):
    _, body = package_job()["JobCleaningKey"]
    cleaning = json.loads(body)
    assert set(cleaning) == set(contracts)
    assert ":hmac_inner_pad" in cleaning["purchases"]["stages"]["judged"]
    assert "Product Name" in cleaning["purchases"]["known_keys"]


def test_the_same_code_gives_the_same_package():
    assert package_job() == package_job()


@pytest.mark.parametrize("name", ["RawCrawler", "CleanCrawler", "QuarantineCrawler"])
def test_crawlers_add_columns_and_change_none(resources, name):
    crawler = resources[name]["Properties"]
    options = json.loads(crawler["Configuration"])
    assert options["CrawlerOutput"]["Tables"]["AddOrUpdateBehavior"] == "MergeNewColumns"
    assert options["CrawlerOutput"]["Partitions"]["AddOrUpdateBehavior"] == "InheritFromTable"
    assert "Schedule" not in crawler  # catalog_lake starts them


def test_no_crawler_and_no_athena_sees_what_was_no_envelope(resources):
    [target] = resources["QuarantineCrawler"]["Properties"]["Targets"]["S3Targets"]
    assert target["Exclusions"] == ["unreadable/**"]
    allowed = json.dumps(resources["CrawlerRole"])
    assert "quarantine/feed=*" in allowed
    assert "unreadable" not in allowed


def test_no_role_has_a_wildcard_action(resources):
    for name in ("CrawlerRole", "JobRole"):
        for policy in resources[name]["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                assert not [action for action in actions if "*" in action]
                assert statement["Resource"] != "*"


def test_the_job_scales_and_does_not_bookmark(resources):
    job = resources["CleanEvents"]["Properties"]
    assert job["GlueVersion"] == "5.0"
    assert job["DefaultArguments"]["--enable-auto-scaling"] == "true"
    assert job["DefaultArguments"]["--job-bookmark-option"] == "job-bookmark-disable"
    assert (PROJECT / "glue" / "clean_events.py") == JOB
