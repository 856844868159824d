"""Differences between layers: what they name, where their counts are stored, and the metrics that are published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, texts

NAMED = 20  # objects and events named by a difference
LOOKS, LOOK_SECONDS = 3, 5.0  # repeated looks discard differences caused by a running load
COUNTS = ("objects", "raw", "accepted", "clean", "quarantined", "duplicates", "quarantine_rows", "waiting")


@dataclass
class Difference:
    """A difference between two layers. `where` is an hour, a day or empty; it names up to NAMED objects and events."""

    feed: str
    layer: str
    where: str
    text: str
    objects: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        named = f": {', '.join([*self.objects, *self.events])}" if self.objects or self.events else ""
        return f"{self.feed} {self.where} {self.layer}: {self.text}{named}".replace("  ", " ")


# The transactions that store the counts and replace earlier ones.
KEEP = {
    "reconciliation": (
        "ops/reconciliation/lock.sql",
        "ops/reconciliation/forget.sql",
        "ops/reconciliation/keep.sql",
    ),
    "reconciled_day": (
        "ops/reconciled_day/lock.sql",
        "ops/reconciled_day/forget.sql",
        "ops/reconciled_day/keep.sql",
    ),
}


def keep_hour(
    target: Warehouse,
    feed: str,
    hour: datetime,
    counts: Mapping[str, int],
    found: Iterable[Difference],
    settings: Settings,
    now: datetime,
    *,
    is_sealed: bool = False,
) -> None:
    """Stores the counts of an hour of arrival: those of COUNTS, and `kinesis` if it is an hour of the stream."""
    values = {name: str(value) for name, value in (dict.fromkeys(COUNTS, 0) | dict(counts)).items()}
    hours = {"feed": feed, "hour_start": f"{hour:%Y-%m-%d %H:%M:%S}", "is_sealed": str(is_sealed).lower()}
    _keep(target, settings, "reconciliation", {"kinesis": "none", **values, **hours, "counted_at": _text(now)}, found)


def keep_day(
    target: Warehouse,
    feed: str,
    day: str,
    counts: Mapping[str, int],
    found: Iterable[Difference],
    settings: Settings,
    now: datetime,
) -> None:
    """Stores the counts of a day of events: lake_rows, core_rows and differing."""
    values = {name: str(value) for name, value in counts.items()}
    days = {"feed": feed, "event_date": day, "compared_at": _text(now)}
    _keep(target, settings, "reconciled_day", values | days, found)


def _keep(
    target: Warehouse, settings: Settings, table: str, values: dict[str, str], found: Iterable[Difference]
) -> None:
    text = "; ".join(map(str, found))[:4000] or "none"
    target.run(texts(settings.sql_dir, KEEP[table], {}), values | {"difference": text}, name=f"keep {table}")


def _text(moment: datetime) -> str:
    """Returns a time in whole seconds, as in S3, so that objects written in the same second count as later."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def utc(text: str) -> datetime:
    """Returns a time of the warehouse."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def put_metrics(
    cloudwatch: Any,
    summaries: Iterable[dict[str, Any]],
    differences: list[Difference],
    settings: Settings,
    now: datetime,
) -> None:
    """Publishes metrics by feed in the namespace `<prefix>`.

    They are Differences, WaitingObjects, OldestWaitingSeconds and FreshnessSeconds. Differences also has a total.
    """
    data = []
    for summary in summaries:
        feed = summary["feed"]
        values = {
            "Differences": sum(d.feed == feed for d in differences),
            "WaitingObjects": summary["waiting"],
            "OldestWaitingSeconds": summary["oldest_waiting_seconds"],
        }
        if summary["newest"]:
            values["FreshnessSeconds"] = round((now - datetime.fromisoformat(summary["newest"])).total_seconds())
        data += [
            {"MetricName": name, "Dimensions": [{"Name": "Feed", "Value": feed}], "Timestamp": now, "Value": value}
            for name, value in values.items()
        ]
    data.append({"MetricName": "Differences", "Timestamp": now, "Value": len(differences)})
    cloudwatch.put_metric_data(Namespace=settings.stack_prefix, MetricData=data)
