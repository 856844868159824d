"""Lambda query_api: returns invoices and customers from DynamoDB. It reads by key only and never scans a table."""

from __future__ import annotations

import logging
import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from ecommerce_events.callers import READ, caller_of
from ecommerce_events.contracts import capitals
from ecommerce_events.failures import values_withheld

from lambdas.query_api.logic import (
    BadRequest,
    cursor_of,
    has_lines,
    invoice,
    invoice_item,
    page_size,
    path_key,
    start_of,
    summary,
    to_json,
)

log = logging.getLogger()
log.setLevel(logging.INFO)

INVOICES, CUSTOMERS = os.environ["INVOICES_TABLE"], os.environ["CUSTOMERS_TABLE"]
BY_DATE = os.environ["CUSTOMERS_BY_DATE"]
THROTTLED = {"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"}
dynamodb = boto3.client("dynamodb", config=Config(retries={"mode": "standard", "max_attempts": 5}))


class NotFound(Exception):  # noqa: N818
    """The requested object does not exist; the message names it."""


def _invoice(path: dict[str, str], query: dict[str, str]) -> dict[str, Any]:
    number = path_key(path, "InvoiceNo")
    pages = dynamodb.get_paginator("query").paginate(
        TableName=INVOICES,
        KeyConditionExpression="InvoiceNo = :number",
        ExpressionAttributeValues={":number": {"S": number}},
    )
    items = [item for page in pages for item in page["Items"] if has_lines(item)]
    if not items:
        raise NotFound(f"no invoice {number}")
    return invoice(items)


def _item(path: dict[str, str], query: dict[str, str]) -> dict[str, Any]:
    number, code = path_key(path, "InvoiceNo"), capitals(path_key(path, "StockCode"))
    key = {"InvoiceNo": {"S": number}, "StockCode": {"S": code}}
    item = dynamodb.get_item(TableName=INVOICES, Key=key).get("Item")
    if not item or not has_lines(item):
        raise NotFound(f"no item {code} in invoice {number}")
    return invoice_item(item)


def _customer(path: dict[str, str], query: dict[str, str]) -> dict[str, Any]:
    customer, limit = path_key(path, "CustomerID"), page_size(query)
    start: Any = {"ExclusiveStartKey": start_of(query["cursor"], customer)} if "cursor" in query else {}
    page = dynamodb.query(
        TableName=CUSTOMERS,
        IndexName=BY_DATE,
        KeyConditionExpression="CustomerID = :customer",
        ExpressionAttributeValues={":customer": {"S": customer}},
        ScanIndexForward=False,
        Limit=limit,
        **start,
    )
    # A summary has no lines after a withdrawal, or after a correction that moved the invoice to another customer.
    found = [item for item in page["Items"] if has_lines(item)]
    if not found and not start and "LastEvaluatedKey" not in page:
        raise NotFound(f"no customer {customer}")
    return {
        "customer_id": customer,
        "invoices": [summary(item) for item in found],
        "next_cursor": cursor_of(page.get("LastEvaluatedKey")),
    }


ROUTES = {
    "GET /invoices/{InvoiceNo}": _invoice,
    "GET /invoices/{InvoiceNo}/items/{StockCode}": _item,
    "GET /customers/{CustomerID}/invoices": _customer,
}


def _answer(status: int, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"Content-Type": "application/json", **headers}, "body": to_json(body)}


@values_withheld
def handler(request: dict[str, Any], context: object) -> dict[str, Any]:
    """Returns the response in payload format 2.0: 200, 400, 403, 404, or 429 if DynamoDB throttles."""
    caller = caller_of(request)
    log.info("key=%s route=%s", caller.name, request["routeKey"])
    if lack := caller.lacks(READ):
        return _answer(403, {"message": lack})
    try:
        route = ROUTES[request["routeKey"]]
        return _answer(200, route(request.get("pathParameters") or {}, request.get("queryStringParameters") or {}))
    except BadRequest as error:
        return _answer(400, {"message": str(error)})
    except NotFound as error:
        return _answer(404, {"message": str(error)})
    except ClientError as error:
        if error.response["Error"]["Code"] not in THROTTLED:
            raise
        log.warning("throttled %s", error)
        return _answer(429, {"message": "the tables are throttled; ask again"}, **{"Retry-After": "1"})
