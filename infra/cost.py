"""Monthly cost of a stage by list prices and measured sizes, for the tables of docs/cost.md and of the preflight.

`python -m infra.cost` prints the tables of docs/cost.md about the hours that the warehouse is up, for each stage.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from croniter import croniter
from ecommerce_elt.settings import PROJECT_DIR, Settings

from infra.stage_file import STAGES, load_stage

HOURS = 730
SECONDS = HOURS * 3600
# List prices of us-east-1 in US dollars, without free tiers, from AWS's price pages in November 2025. The prices of
# Redshift (with its minimum of 60 seconds) are from 7 October 2026, of NAT gateways from 20 September, of CloudWatch
# from 4 May.
PRICES = {
    "kinesis_shard_hour": 0.015,
    "kinesis_million_puts": 0.014,
    "kinesis_extended_shard_hour": 0.02,
    "lambda_gb_second_arm": 0.0000133334,
    "lambda_million_requests": 0.20,
    "s3_thousand_puts": 0.005,
    "s3_gb_month": 0.023,
    "sqs_million": 0.40,
    "dynamodb_million_writes": 0.625,
    "dynamodb_gb_month": 0.25,
    "redshift_rpu_hour": 0.375,
    "redshift_gb_month": 0.024,
    "glue_dpu_hour": 0.44,
    "nat_hour": 0.045,
    "nat_gb": 0.045,
    "alarm_month": 0.10,
    "metric_month": 0.30,
    "endpoint_hour": 0.01,
    "logs_gb": 0.50,
    "mwaa_small_hour": 0.49,
    "fargate_vcpu_hour": 0.04048,
    "fargate_gb_hour": 0.004445,
    "s3_gb_out": 0.09,
    "bigquery_tib": 6.25,
    "bigquery_gb_month": 0.02,
}
# Measured on the UCI Online Retail data with the local cloud: `make benchmark`.
EVENT_BYTES, PACKED, PARQUET = (
    420,
    0.13,
    0.06,
)  # size of a record of the stream, and its sizes in raw/ and in clean/ as shares of it
LINES_A_SECOND_OF_WRITER = 2_900  # for one process of dynamodb_writer
INVOICE_LINES = 1 / 3  # share of all events; the other feeds are not written to DynamoDB
RAW_WRITER_EVENTS_A_SECOND = 15_000
OBJECT_SECONDS = "5"  # RawWriterBatchWindowSeconds
# One export per hour. Assumed: 20 MB per export, compressed. The size of marts depends on products, customers and days,
# not on events. A query is billed at least 10 MB per table (BigQuery, Pricing), and a comparison reads 24 tables.
EXPORT_GB, EXPORTS, COMPARISONS = 0.02, HOURS, HOURS * 4
COMPARED_TIB = 24 * 10 / 1024**2
FORECAST_HOURS = (
    30 * 6 / 60
)  # one run per day: 85 CPU seconds of work, the pull of a 2 GB image, and the start of TensorFlow
NAT_GB = 30  # assumed: packages, images, and calls to services without an endpoint; S3 has a gateway endpoint
METRICS = 10  # metrics of reconcile_layers and the loads, with their dimensions

# -- the hours that the warehouse is up

BILLED_AT_LEAST_SECONDS = 60  # Amazon Redshift pricing: "billed per second, with a 60-second minimum charge"
DAY_SECONDS = 86_400
DAY = datetime(2026, 1, 5, tzinfo=UTC)  # any Monday
# Seconds of the warehouse for each run, and events of a load per additional second. Assumed: not measured on AWS yet.
LOADED_A_SECOND = 100_000
LOAD_SECONDS, MARTS_SECONDS, RECONCILE_SECONDS, DASHBOARD_SECONDS = 30, 60, 30, 30
EXPORT_SECONDS, FORECAST_SECONDS, FEATURES_SECONDS, UPKEEP_SECONDS, COPY_SECONDS = 30, 60, 60, 120, 10
ARRIVAL_SECONDS = 10  # between two loads of `@arrival` while events arrive: a poll, a claim and a load
Runs = list[tuple[float, float]]  # start and end in seconds of the day


@dataclass(frozen=True)
class Plan:
    """The runs of a day that keep the warehouse up, by name."""

    runs: Mapping[str, Runs]

    def seconds(self, without: str = "") -> float:
        """Returns the billed seconds of a day, without the runs named `without`."""
        return billed([run for name, runs in self.runs.items() if name != without for run in runs])


def billed(runs: Runs) -> float:
    """Returns the billed seconds: the duration of each period with at least one run, but 60 seconds at least."""
    total, up_from, up_to = 0.0, 0.0, 0.0
    for start, end in sorted(runs):
        if start > up_to or not up_to:
            total += up_to - up_from
            up_from, up_to = start, start
        up_to = max(up_to, end, up_from + BILLED_AT_LEAST_SECONDS)
    return min(total + up_to - up_from, DAY_SECONDS)


def _at(cron: str, seconds: float) -> Runs:
    times = croniter(cron, DAY - timedelta(seconds=1))
    found: Runs = []
    while (at := (times.get_next(datetime) - DAY).total_seconds()) < DAY_SECONDS:
        found.append((at, at + seconds))
    return found


def plan(events_a_second: float, parameters: Mapping[str, str], settings: Mapping[str, str], *, exports: bool) -> Plan:
    """Returns the runs on the warehouse in a day.

    Args:
        events_a_second: rate of events over all feeds.
        parameters: template parameters; `DeliveryTo` and `FirehoseBufferSeconds` matter.
        settings: settings of Airflow, `ECOMMERCE_...`; a missing one has its default.
        exports: whether the marts are exported to BigQuery.
    """

    def setting(name: str) -> str:
        return settings.get(f"ECOMMERCE_{name.upper()}", str(Settings.model_fields[name].default))

    schedule = setting("load_events_schedule")
    if schedule == "@arrival":
        between = max(ARRIVAL_SECONDS, 1 / events_a_second)
        starts = [(n * between, 0.0) for n in range(int(DAY_SECONDS / between))]
    else:
        starts = _at(schedule, 0)
    loads: Runs = []
    for (start, _), (before, _) in zip(starts, [(starts[-1][0] - DAY_SECONDS, 0.0), *starts], strict=False):
        loads.append((start, start + LOAD_SECONDS + (start - before) * events_a_second / LOADED_A_SECOND))
    marts: Runs = []
    for _, loaded in loads:  # a build follows a load, and keeps the minimum interval after the last build
        if not marts or loaded - marts[-1][1] >= int(setting("marts_min_interval_seconds")):
            marts.append((loaded, loaded + MARTS_SECONDS))
    runs = {
        "loads": loads,
        "marts": marts,
        "reconciliation": _at(setting("reconcile_schedule"), RECONCILE_SECONDS),
        "dashboards": _at(setting("dashboard_catch_up_cron"), DASHBOARD_SECONDS),
        "forecast": _at(setting("forecast_schedule"), FORECAST_SECONDS),
        "features": _at(setting("features_schedule"), FEATURES_SECONDS),
        "upkeep": _at(setting("maintain_schedule"), UPKEEP_SECONDS),
    }
    if exports:
        runs["BigQuery"] = _at(setting("bigquery_catch_up_cron"), EXPORT_SECONDS)
    if parameters.get("DeliveryTo", "auto-copy") != "none":
        # A file is closed when it is full or old, so these runs coincide with none of the schedules.
        every = max(60, int(parameters.get("FirehoseBufferSeconds", "900")))
        runs["COPY of Firehose's files"] = [(at, at + COPY_SECONDS) for at in range(every // 2, DAY_SECONDS, every)]
    return Plan(runs)


# The modes of a stage: the freshness of core, and the settings for it. reconcile_layers waits for the settling time.
MODES = {
    "as events arrive": {"ECOMMERCE_LOAD_EVENTS_SCHEDULE": "@arrival"},
    "every 5 minutes": {"ECOMMERCE_LOAD_EVENTS_SCHEDULE": "*/5 * * * *", "ECOMMERCE_RECONCILE_SETTLE_MINUTES": "25"},
    "every 15 minutes": {"ECOMMERCE_LOAD_EVENTS_SCHEDULE": "*/15 * * * *", "ECOMMERCE_RECONCILE_SETTLE_MINUTES": "40"},
    "every hour": {
        "ECOMMERCE_LOAD_EVENTS_SCHEDULE": "0 * * * *",
        "ECOMMERCE_RECONCILE_SCHEDULE": "0 * * * *",
        "ECOMMERCE_RECONCILE_SETTLE_MINUTES": "90",
    },
    "every 15 minutes from 6 to 22, asleep at night": {
        "ECOMMERCE_LOAD_EVENTS_SCHEDULE": "*/15 6-21 * * *",
        "ECOMMERCE_RECONCILE_SCHEDULE": "*/15 6-21 * * *",
        "ECOMMERCE_DASHBOARD_CATCH_UP_CRON": "0 6-21 * * *",
        "ECOMMERCE_BIGQUERY_CATCH_UP_CRON": "20 6-21 * * *",
        "ECOMMERCE_MAINTAIN_SCHEDULE": "30 21 * * *",
        "ECOMMERCE_FORECAST_SCHEDULE": "0 6 * * *",
        "ECOMMERCE_FEATURES_SCHEDULE": "0 21 * * *",
        "ECOMMERCE_RECONCILE_SETTLE_MINUTES": "600",
    },
}
ASLEEP = "every 15 minutes from 6 to 22, asleep at night"


def month_of(seconds_a_day: float, rpus: int) -> float:
    """Returns the dollars per month of a warehouse that is up for so many seconds a day."""
    return seconds_a_day / 3600 * rpus * PRICES["redshift_rpu_hour"] * HOURS / 24


def warehouse_table(
    name: str, events_a_second: float, parameters: Mapping[str, str], settings: Mapping[str, str], *, exports: bool
) -> Iterator[str]:
    """Yields the lines of a stage's table of freshness and cost. The mode of the stage is in bold."""
    rpus = int(parameters.get("RedshiftBaseCapacity", "8"))
    head = "hours up a day | share | dollars a month | less without marts | without reconciliation | without all but these and loads"
    yield f"| `{name}`, {rpus} RPUs | {head} |"
    yield "| -- | -- | -- | -- | -- | -- | -- |"
    for mode, chosen in MODES.items():
        delivery = {"DeliveryTo": "none"} if mode == ASLEEP else {}
        found = plan(events_a_second, {**parameters, **delivery}, {**settings, **chosen}, exports=exports)
        seconds = found.seconds()
        of = {part: month_of(seconds - found.seconds(without=part), rpus) for part in found.runs}
        rest = sum(dollars for part, dollars in of.items() if part not in {"loads", "marts", "reconciliation"})
        is_chosen = (
            settings.get("ECOMMERCE_LOAD_EVENTS_SCHEDULE", "@arrival") == chosen["ECOMMERCE_LOAD_EVENTS_SCHEDULE"]
        )
        yield (
            f"| {f'**{mode}**' if is_chosen else mode} | {seconds / 3600:.1f} | {seconds / DAY_SECONDS:.0%} | "
            f"{month_of(seconds, rpus):,.0f} | {of['marts']:,.0f} | {of['reconciliation']:,.0f} | {rest:,.0f} |"
        )


def objects_in(seconds: float, events_a_second: float, parameters: Mapping[str, str]) -> float:
    """Returns the number of raw objects in a period: one per shard, feed and window in which events arrive."""
    window = max(1, int(parameters.get("RawWriterBatchWindowSeconds", OBJECT_SECONDS)))
    return min(int(parameters.get("Shards", "2")) * 3 / window, events_a_second) * seconds


def most_objects_of_a_load(events_a_second: float, parameters: Mapping[str, str], settings: Mapping[str, str]) -> float:
    """Returns the largest number of raw objects that arrive between two loads of a day, without the night."""
    loads = plan(events_a_second, parameters, settings, exports=False).runs["loads"]
    between = sorted(after - before for (before, _), (after, _) in itertools.pairwise(loads))
    return objects_in(between[-1], events_a_second, parameters)


def alarms() -> int:
    template = (PROJECT_DIR / "infra" / "monitoring.yaml").read_text("utf-8")
    return len(re.findall(r"Type: AWS::CloudWatch::Alarm", template))


@dataclass(frozen=True)
class Item:
    what: str
    why: str
    dollars: float


def estimate(
    events_a_second: float,
    parameters: dict[str, str],
    stacks: tuple[str, ...] | list[str],
    settings: Mapping[str, str] | None = None,
) -> list[Item]:
    """Returns the monthly cost of each part at a steady rate, for the first month, with the storage at its end.

    Args:
        events_a_second: rate of events over all feeds.
        parameters: template parameters; a missing one has its default.
        stacks: the deployed stacks, with `bigquery` if the stage exports to BigQuery.
        settings: settings of Airflow in the stage.
    """
    shards = int(parameters.get("Shards", "2"))
    objects = objects_in(SECONDS, events_a_second, parameters)
    items = _of_the_stream(events_a_second * SECONDS, objects, shards)
    if "warehouse" in stacks:
        up = plan(events_a_second, parameters, settings or {}, exports="bigquery" in stacks).seconds()
        items.append(_of_the_warehouse(events_a_second * SECONDS, up, int(parameters.get("RedshiftBaseCapacity", "8"))))
    return [*items, *_of_other_stacks(parameters, stacks)]


def _of_the_stream(events: float, objects: float, shards: int) -> list[Item]:
    """Returns the cost of what every environment has: the stream, its stores, the lake, alarms."""
    p = PRICES
    gigabytes = events * EVENT_BYTES / 1e9
    return [
        Item(
            "Kinesis",
            f"{shards} shards, kept for 7 days",
            shards * HOURS * (p["kinesis_shard_hour"] + p["kinesis_extended_shard_hour"])
            + events / 1e6 * p["kinesis_million_puts"],
        ),
        Item(
            "Lambda",
            "raw_writer and dynamodb_writer",
            events / RAW_WRITER_EVENTS_A_SECOND * 0.5 * p["lambda_gb_second_arm"]
            + events * INVOICE_LINES / LINES_A_SECOND_OF_WRITER * 1.73 * p["lambda_gb_second_arm"]
            + 2 * objects / 3 / 1e6 * p["lambda_million_requests"],
        ),
        Item(
            "S3",
            "raw/, clean/ and what lists them",
            objects * 3 / 1000 * p["s3_thousand_puts"] + gigabytes * (PACKED + PARQUET) * p["s3_gb_month"],
        ),
        Item("SQS", "one message an object, received and deleted", objects * 3 / 1e6 * p["sqs_million"]),
        Item(
            "DynamoDB",
            "two items in one transaction a line: four write units",
            events * INVOICE_LINES * 4 / 1e6 * p["dynamodb_million_writes"]
            + events * INVOICE_LINES * 600 / 1e9 * p["dynamodb_gb_month"],
        ),
        Item("Glue", "three crawlers an hour, a minute each of two DPUs", 3 * HOURS / 60 * 2 * p["glue_dpu_hour"]),
        Item(
            "CloudWatch",
            f"logs of Lambdas, {alarms()} alarms, {METRICS} metrics",
            objects * 1000 / 1e9 * p["logs_gb"] + alarms() * p["alarm_month"] + METRICS * p["metric_month"],
        ),
    ]


def _of_the_warehouse(events: float, up: float, rpus: int) -> Item:
    """Returns the cost of a warehouse that runs for `up` seconds a day."""
    return Item(
        "Redshift",
        f"{rpus} RPUs, up {up / DAY_SECONDS:.0%} of the day by the schedules",
        month_of(up, rpus) + events * EVENT_BYTES / 1e9 * 0.2 * PRICES["redshift_gb_month"],
    )


def _of_other_stacks(parameters: dict[str, str], stacks: tuple[str, ...] | list[str]) -> Iterator[Item]:
    """Yields the cost of each other stack that is deployed."""
    p = PRICES
    if "network" in stacks:
        nat = parameters.get("NatGateway", "true") == "true"
        endpoints = 30 if parameters.get("InterfaceEndpoints", "false") == "true" else 0
        yield Item(
            "Network",
            f"{'a' if nat else 'no'} NAT gateway, {endpoints // 3} interface endpoints in 3 zones",
            nat * (HOURS * p["nat_hour"] + NAT_GB * p["nat_gb"]) + endpoints * HOURS * p["endpoint_hour"],
        )
    if "bigquery" in stacks:
        read = (EXPORTS + COMPARISONS) * COMPARED_TIB
        yield Item(
            "BigQuery",
            "an export an hour, a comparison every 15 minutes",
            EXPORTS * EXPORT_GB * p["s3_gb_out"] + read * p["bigquery_tib"] + p["bigquery_gb_month"],
        )
    if "forecast" in stacks:
        cores, memory = (
            int(parameters.get(f"Forecast{k}", d)) / 1024 for k, d in (("Cpu", "2048"), ("Memory", "4096"))
        )
        yield Item(
            "Forecasts on ECS",
            f"{cores:g} processors and {memory:g} GB, six minutes a day",
            FORECAST_HOURS * (cores * p["fargate_vcpu_hour"] + memory * p["fargate_gb_hour"]),
        )
    if "orchestration" in stacks:
        yield Item("MWAA", "mw1.small, with one worker", HOURS * p["mwaa_small_hour"])


def page() -> str:
    """Returns the tables of all stages for docs/cost.md."""
    tables = []
    for path in sorted(STAGES.glob("*.yaml")):
        stage = load_stage(path.stem)
        exports = stage.bigquery is not None
        rows = warehouse_table(path.stem, stage.events_per_second, stage.parameters, stage.settings, exports=exports)
        tables.append("\n".join(rows))
    return "\n\n".join(tables)


if __name__ == "__main__":
    sys.stdout.write(page() + "\n")
