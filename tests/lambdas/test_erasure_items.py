"""Erasing a customer from DynamoDB, against what dynamodb_writer makes of the same lines without the customer."""

import boto3
import pytest
from ecommerce_elt.erasure.items import erase_items

from tests.lambdas.test_dynamodb_writer import a_shop, event, shard


def items(table):
    return sorted(
        (
            item
            for page in boto3.client("dynamodb").get_paginator("scan").paginate(TableName=table)
            for item in page["Items"]
        ),
        key=str,
    )


@pytest.fixture
def written(handler_of, tables, request):
    """Writes events to the tables and returns their items."""

    def write(events):
        invoices, customers = tables
        handler = handler_of(
            "dynamodb_writer", INVOICES_TABLE=invoices, CUSTOMERS_TABLE=customers, RETENTION_DAYS="30", THREADS="4"
        )
        assert handler.handler({"Records": shard(events)}, None) == {"batchItemFailures": []}
        return items(invoices), items(customers)

    return write


def emptied(tables):
    client = boto3.client("dynamodb")
    for table, keys in zip(tables, (("InvoiceNo", "StockCode"), ("CustomerID", "InvoiceNo")), strict=True):
        for item in items(table):
            client.delete_item(TableName=table, Key={key: item[key] for key in keys})


def test_items_are_those_of_a_shop_that_never_knew_the_customer(written, tables):
    # Invoices with several customers, unknown ones among them, and one with more items than a transaction takes.
    events = a_shop(300) + [event(1000 + n, invoice="700000", code=f"P{n}", customer="1") for n in range(130)]
    wanted = written(
        [
            e.replace(b'"CustomerID":"1"', b'"CustomerID":""').replace(b'"CustomerID": "1"', b'"CustomerID": ""')
            for e in events
        ]
    )
    assert '"1"' not in str(wanted)
    emptied(tables)
    written(events)
    invoices, customers = tables
    client = boto3.client("dynamodb")
    found = erase_items(client, customers, invoices, "1", apply=False)
    assert found["invoice_items"] > 130
    assert erase_items(client, customers, invoices, "1", apply=True) == found
    assert (items(invoices), items(customers)) == wanted
    assert erase_items(client, customers, invoices, "1", apply=True) == {"customer_items": 0, "invoice_items": 0}


def test_the_customer_of_an_item_follows_its_earliest_line(written, tables):
    """An item names the customer of its first line; the others are in its lines."""
    events = [event(1, customer="2", time="2010-12-01 08:00"), event(2, customer="1", time="2010-12-01 09:00")]
    written(events)
    invoices, customers = tables
    assert erase_items(boto3.client("dynamodb"), customers, invoices, "1", apply=True) == {
        "customer_items": 1,
        "invoice_items": 1,
    }
    [item] = items(invoices)
    assert item["CustomerID"] == {"S": "2"}
    assert "unknown" in item["Lines"]["M"]["e2"]["S"]
