"""The figures of the page: bounded queries that run in parallel and are cached for seconds."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, cast

import boto3
from botocore.config import Config
from cachetools import TTLCache, cached

from ecommerce_elt import listing
from ecommerce_elt.batches.manifests import OPEN
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.feeds.sales import feeds_of_sales
from ecommerce_elt.settings import settings
from ecommerce_elt.warehouse.redshift import Warehouse, render

KEPT_SECONDS = 5
QUERIES_AT_ONCE = 8
MAX_DAYS = 14_610  # 40 years, 480 months
DAYS_BY_DAY, DAYS_BY_WEEK = 100, 800  # longer ranges show weeks, then months, so that a line has about a hundred points

_pool = ThreadPoolExecutor(QUERIES_AT_ONCE, thread_name_prefix="ecommerce-page")
_lock = threading.Lock()
_clients: dict[str, Any] = {}


def warm() -> None:
    """Creates the clients in the background, so that the first request does not wait for them."""
    for service in ("redshift-data", "s3", "sqs"):
        _pool.submit(_client, service)


def _client(service: str) -> Any:
    with _lock:
        if service not in _clients:
            config = Config(
                connect_timeout=3,
                read_timeout=20,
                retries={"max_attempts": 1},
                max_pool_connections=2 * QUERIES_AT_ONCE,
            )
            _clients[service] = boto3.client(cast("Any", service), config=config)  # the stubs know only literal names
        return _clients[service]


def _rows(name: str, values: Mapping[str, str], **names: str) -> list[dict[str, Any]]:
    config = settings()
    sql = render((config.sql_dir / "page" / f"{name}.sql").read_text("utf-8"), names)
    columns, rows = Warehouse(_client("redshift-data"), config.workgroup, config.database).table(sql, values)
    return [
        {
            c.name: float(v) if v is not None and c.type_name == "numeric" else v
            for c, v in zip(columns, row, strict=True)
        }
        for row in rows
    ]


def _together(parts: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    running = {name: _pool.submit(part) for name, part in parts.items()}
    return {name: future.result() for name, future in running.items()}


@cached(TTLCache(1, KEPT_SECONDS), lock=threading.Lock())
def span() -> dict[str, str | None]:
    """Returns the first and the last day with data; None if there is no data yet."""
    [row] = _rows("span", {})
    return row


@cached(TTLCache(64, KEPT_SECONDS), lock=threading.Lock())
def business(first: date, last: date, feed: str = "all", currency: str = "") -> dict[str, Any]:
    """Returns the figures of the shop from `first` to `last`, both included, in one currency.

    `before` has the totals of the same number of days before `first`. It is None if not every feed has sales for all of
    these days, or if `last` is after the last day with data. From `sales_from` on, every feed has sales.

    Args:
        first: the first day.
        last: the last day.
        feed: a feed with the role of a sale; any other text means all of them.
        currency: the currency of the sales; if empty or without sales, the currency with the most orders is used.

    Raises:
        PermanentError: the days are in the wrong order or too many.
    """
    days = (last - first).days + 1
    if not 1 <= days <= MAX_DAYS:
        raise PermanentError(f"from {first} to {last} are {days} days; expected 1 to {MAX_DAYS}")
    end = last + timedelta(days=1)
    contracts = load_contracts(settings().include_dir / "feeds")
    chosen = feed if feed in feeds_of_sales(contracts) else "all"
    dates = {"from_day": first.isoformat(), "to_day": end.isoformat()}
    currencies = [row["currency"] for row in _rows("currencies", dates | {"feed": chosen})]
    shown = currency if currency in currencies or not currencies else currencies[0]
    values = dates | {"feed": chosen, "currency": shown or "none"}
    before = values | {"from_day": (first - timedelta(days=days)).isoformat(), "to_day": first.isoformat()}
    [begin] = _rows("sales_from", {"feed": chosen, "currency": values["currency"]})
    # Comparing a year with, say, the only nine days of data before it would not show a change.
    has_before = begin["sales_from"] is not None and begin["sales_from"] <= before["from_day"]
    is_over = last.isoformat() <= (span()["last_day"] or "")
    period = "day" if days <= DAYS_BY_DAY else "week" if days <= DAYS_BY_WEEK else "month"
    found = _together(
        {
            "totals": lambda: _rows("totals", values)[0],
            "before": lambda: _rows("totals", before)[0] if has_before and is_over else None,
            "trend": lambda: _rows("trend", values, period=period),
            "best_sellers": lambda: _rows("best_sellers", values),
            "countries": lambda: _rows("countries", values),
            "segments": lambda: _rows("segments", values),
            "demographics": lambda: _rows("demographics", dates),
            "stock": lambda: _rows("stock", {}),
            "shortest_cover": lambda: _rows("shortest_cover", {}),
            "forecast": lambda: _rows("forecast", {"feed": chosen}),
            "to_order": lambda: _rows("to_order", {"feed": chosen}),
        }
    )
    return (
        found
        | begin
        | {
            "from": first.isoformat(),
            "to": last.isoformat(),
            "period": period,
            "feed": chosen,
            "currency": shown,
            "currencies": currencies,
            "demographics_currency": _currency_of_purchases(contracts),
        }
    )


def _currency_of_purchases(contracts: Mapping[str, Contract]) -> str:
    """Returns the ISO 4217 code of the amounts in mart.demographics_daily; empty if the contract has none."""
    known = contracts["purchases"].column("amount").currency if "purchases" in contracts else ()
    return next((word for word in known if re.fullmatch("[A-Z]{3}", word)), "")


@cached(TTLCache(16, KEPT_SECONDS), lock=threading.Lock())
def pipeline(feed: str) -> dict[str, Any]:
    """Returns the figures of the pipeline.

    Args:
        feed: one feed, or `all`.

    Raises:
        PermanentError: the feed has no contract.
    """
    contracts = load_contracts(settings().include_dir / "feeds")
    if feed != "all" and feed not in contracts:
        raise PermanentError(f"feed {feed!r} has no contract; there are {', '.join(contracts)}")
    chosen = {name: c for name, c in contracts.items() if feed in {"all", name}}
    values = {"feed": feed}
    found = _together(
        {
            "arrivals": lambda: _rows("arrivals", values),
            "batches": lambda: _rows("batches", values),
            "conservation": lambda: _rows("conservation", values),
            "checks": lambda: _rows("checks", {}),
            "marts": lambda: _rows("marts", {})[0],
            "waiting": _waiting,
            "reasons": lambda: _rows("reasons", values),
            "reconciliation": lambda: _rows("reconciliation", values),
            "exported": lambda: _rows("exported", {}),
            **{f"core {name}": partial(_core_rows, contract) for name, contract in chosen.items()},
        }
    )
    for row in found["conservation"]:
        row["core"] = found.get(f"core {row['feed']}")
        parts = row["clean"] + row["quarantined"] + row["duplicates"]
        row["holds"] = row["accepted"] == parts and row["core"] in {None, row["clean"]}
    return {k: v for k, v in found.items() if not k.startswith("core ")} | {"feeds": list(contracts), "feed": feed}


def _core_rows(contract: Contract) -> int:
    return int(_rows("core_rows", {}, fact=contract.tables[0])[0]["core_rows"])


def _waiting() -> dict[str, Any]:
    """Returns the numbers of raw objects in no batch and of uncommitted batches, and the age of the oldest batch."""
    config, sqs, s3 = settings(), _client("sqs"), _client("s3")
    url = sqs.get_queue_url(QueueName=config.raw_objects_queue)["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    markers = list(listing.objects(s3, config.bucket, OPEN))
    oldest = min((marker["LastModified"] for marker in markers), default=None)
    return {
        "objects": sum(int(attributes[name]) for name in names),
        "open_batches": len(markers),
        "oldest_seconds": (datetime.now(UTC) - oldest).total_seconds() if oldest else 0,
    }
