"""The names that Python derives from a deployment's prefix are those that its templates give."""

import pytest
from ecommerce_elt import aws_names

from tests.conftest import PROJECT

PREFIX = "${Prefix}"


@pytest.mark.parametrize(
    "name",
    [
        aws_names.lake_bucket(PREFIX, "${AWS::AccountId}"),
        aws_names.stream(PREFIX),
        *(aws_names.function(PREFIX, name) for name in (aws_names.RAW_WRITER, aws_names.DYNAMODB_WRITER)),
        *(aws_names.failures_queue(PREFIX, name) for name in (aws_names.RAW_WRITER, aws_names.DYNAMODB_WRITER)),
        aws_names.invoices(PREFIX),
        aws_names.customers(PREFIX),
        *(aws_names.crawler(PREFIX, folder) for folder in ("raw", "clean", "quarantine")),
        aws_names.clean_job(PREFIX),
    ],
)
def test_a_template_gives_the_name(name):
    templates = "".join(path.read_text() for path in (PROJECT / "infra").glob("*.yaml"))
    assert f'Name: !Sub "{name}"' in templates
