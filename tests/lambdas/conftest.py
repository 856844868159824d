"""The Lambdas as AWS loads them: with the shared layer as it is packaged."""

import io
import sys
import uuid
import zipfile
from importlib import import_module

import boto3
import pytest

from infra.packages import package_layer


@pytest.fixture(scope="session", autouse=True)
def layer(tmp_path_factory):
    """The shared layer, unpacked; its folder is on the path, as in a Lambda."""
    folder = tmp_path_factory.mktemp("layer")
    with zipfile.ZipFile(io.BytesIO(package_layer()[1])) as archive:
        archive.extractall(folder)
    sys.path.insert(0, str(folder / "python"))
    yield folder / "python"
    sys.path.remove(str(folder / "python"))


@pytest.fixture
def logic_of():
    """Returns the module `logic` of a Lambda."""
    return lambda name: import_module(f"lambdas.{name}.logic")


@pytest.fixture
def handler_of(monkeypatch):
    """Returns the module `handler` of a Lambda, loaded with an environment of variables."""

    def load(name, **environment):
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        monkeypatch.delitem(sys.modules, f"lambdas.{name}.handler", raising=False)
        return import_module(f"lambdas.{name}.handler")

    return load


@pytest.fixture
def on_cloud(cloud, monkeypatch):
    """boto3's own variables name the local cloud."""
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    return cloud


@pytest.fixture
def tables(on_cloud):
    """Two empty tables of the test's own: (invoices, customers)."""
    client = boto3.client("dynamodb")
    suffix = uuid.uuid4().hex[:10]

    def create(name, partition, sort, **more):
        attributes = [partition, sort, *(["InvoiceDate"] if more else [])]
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in attributes],
            **more,
        )
        return name

    index = {
        "IndexName": "by-date",
        "Projection": {"ProjectionType": "ALL"},
        "KeySchema": [
            {"AttributeName": "CustomerID", "KeyType": "HASH"},
            {"AttributeName": "InvoiceDate", "KeyType": "RANGE"},
        ],
    }
    found = (
        create(f"invoices-{suffix}", "InvoiceNo", "StockCode"),
        create(f"customers-{suffix}", "CustomerID", "InvoiceNo", GlobalSecondaryIndexes=[index]),
    )
    yield found
    for name in found:
        client.delete_table(TableName=name)
