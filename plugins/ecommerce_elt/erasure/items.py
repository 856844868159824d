"""Erases one customer from the DynamoDB tables `customers` and `invoices`. See docs/adr/0021.

An invoice keeps its items, and its summary moves to the unknown customer. The items of an invoice change first and its
summary last, so that a retry after a crash finds the invoice again.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from more_itertools import chunked

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

UNKNOWN = "unknown"  # the name that dynamodb_writer gives to customers unknown to the shop
ACTIONS_A_TRANSACTION = 100  # TransactWriteItems: DynamoDB API reference

Item = dict[str, Any]


def erase_items(dynamodb: DynamoDBClient, customers: str, invoices: str, name: str, *, apply: bool) -> dict[str, int]:
    """Returns `customer_items` and `invoice_items`, the numbers of items that name the customer.

    Args:
        dynamodb: boto3 client.
        customers, invoices: the names of the tables.
        name: the CustomerID.
        apply: whether the customer is erased from the items.

    Raises:
        ClientError: an item changed meanwhile (TransactionCanceledException). A retry uses the changed item.
    """
    found = {"customer_items": 0, "invoice_items": 0}
    for summary in _query(dynamodb, customers, "CustomerID", name):
        invoice = summary["InvoiceNo"]["S"]
        found["customer_items"] += 1
        named = [item for item in _query(dynamodb, invoices, "InvoiceNo", invoice) if _names(item, name)]
        found["invoice_items"] += len(named)
        if apply:
            for some in chunked(named, ACTIONS_A_TRANSACTION):
                puts = [_put(invoices, _without(item, name), item) for item in some]
                dynamodb.transact_write_items(TransactItems=puts)
            key = {"CustomerID": {"S": UNKNOWN}, "InvoiceNo": {"S": invoice}}
            other = dynamodb.get_item(TableName=customers, Key=key, ConsistentRead=True).get("Item")
            moved = _put(customers, _together({**summary, **key}, other), other)
            gone: Any = {
                "TableName": customers,
                "Key": {"CustomerID": {"S": name}, "InvoiceNo": {"S": invoice}},
                **_unchanged(summary),
            }
            dynamodb.transact_write_items(TransactItems=[moved, {"Delete": gone}])
    return found


def _query(dynamodb: DynamoDBClient, table: str, key: str, value: str) -> list[Item]:
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression=f"{key} = :value",
        ExpressionAttributeValues={":value": {"S": value}},
        ConsistentRead=True,
    )
    return [item for page in pages for item in page["Items"]]


def _names(item: Item, name: str) -> bool:
    lines = item["Lines"]["M"].values()
    return item["CustomerID"]["S"] == name or any(json.loads(line["S"]).get("customer_id") == name for line in lines)


def _without(item: Item, name: str) -> Item:
    def line(kept: Item) -> Item:
        values = json.loads(kept["S"])
        if values.get("customer_id") == name:  # a withdrawn line has no values
            values["customer_id"] = UNKNOWN
        return {"S": json.dumps(values, ensure_ascii=False, separators=(",", ":"))}

    customer = UNKNOWN if item["CustomerID"]["S"] == name else item["CustomerID"]["S"]
    lines = {event_id: line(kept) for event_id, kept in item["Lines"]["M"].items()}
    return item | {"CustomerID": {"S": customer}, "Lines": {"M": lines}}


def _together(one: Item, other: Item | None) -> Item:
    """Returns the merged summary, equal to what dynamodb_writer would have made from the lines of both."""
    if other is None:
        return one
    first = min(one, other, key=lambda item: item["FirstLine"]["S"])
    item = first | {
        name: {"N": format(sum((Decimal(i[name]["N"]) for i in (one, other)), Decimal(0)).normalize() + 0, "f")}
        for name in ("Quantity", "Total", "LineCount")
    }
    if corrections := sum(int(i.get("Corrections", {"N": "0"})["N"]) for i in (one, other)):
        item["Corrections"] = {"N": str(corrections)}
    if expires := [int(i["ExpiresAt"]["N"]) for i in (one, other) if "ExpiresAt" in i]:
        item["ExpiresAt"] = {"N": str(max(expires))}
    return item


def _put(table: str, item: Item, before: Item | None) -> TransactWriteItemTypeDef:
    condition = _unchanged(before) if before else {"ConditionExpression": "attribute_not_exists(InvoiceNo)"}
    put: Any = {"TableName": table, "Item": item, **condition}
    return {"Put": put}


def _unchanged(item: Item) -> dict[str, Any]:
    """Returns the condition that an item is unchanged: each write adds lines or corrections (docs/adr/0009)."""
    values = {":lines": item["LineCount"]}
    if "Corrections" not in item:
        return {
            "ConditionExpression": "LineCount = :lines AND attribute_not_exists(Corrections)",
            "ExpressionAttributeValues": values,
        }
    return {
        "ConditionExpression": "LineCount = :lines AND Corrections = :corrections",
        "ExpressionAttributeValues": values | {":corrections": item["Corrections"]},
    }
