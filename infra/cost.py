"""What a stage costs a month, by list prices and measured sizes: the table of docs/cost.md and of the preflight."""

from __future__ import annotations

from dataclasses import dataclass

HOURS = 730
SECONDS = HOURS * 3600
# List prices of us-east-1 in US dollars, without free tiers, as AWS's price pages had them in November 2025.
PRICES = {
    "kinesis_shard_hour": 0.015, "kinesis_million_puts": 0.014, "kinesis_extended_shard_hour": 0.02,
    "lambda_gb_second_arm": 0.0000133334, "lambda_million_requests": 0.20,
    "s3_thousand_puts": 0.005, "s3_gb_month": 0.023, "sqs_million": 0.40,
    "dynamodb_million_writes": 0.625, "dynamodb_gb_month": 0.25,
    "redshift_rpu_hour": 0.375, "redshift_gb_month": 0.024,
    "glue_dpu_hour": 0.44, "nat_hour": 0.045, "endpoint_hour": 0.01, "logs_gb": 0.50, "mwaa_small_hour": 0.49,
}  # fmt: skip
# Measured on the UCI Online Retail data with the local cloud: `make benchmark`.
EVENT_BYTES, PACKED, PARQUET = (
    420,
    0.13,
    0.06,
)  # a record of the stream; its size in raw/ and in clean/, as shares of it
LINES_A_SECOND_OF_WRITER = 2_900  # of one process of dynamodb_writer
INVOICE_LINES = 1 / 3  # of all events; the other feeds do not go to DynamoDB
RAW_WRITER_EVENTS_A_SECOND = 15_000
OBJECT_SECONDS = 5  # RawWriterBatchWindowSeconds
BUSY = 0.25  # share of the time in which Redshift computes: a load a minute, and the marts after it


@dataclass(frozen=True)
class Item:
    what: str
    why: str
    dollars: float


def estimate(events_a_second: float, parameters: dict[str, str], stacks: tuple[str, ...] | list[str]) -> list[Item]:
    """Returns what each part costs a month at a steady rate, the first month with its data at the end of the month.

    Args:
        events_a_second: over all feeds.
        parameters: of the templates; their defaults count where one is missing.
        stacks: those that are deployed.
    """
    p = PRICES
    shards = int(parameters.get("Shards", "2"))
    events = events_a_second * SECONDS
    gigabytes = events * EVENT_BYTES / 1e9
    objects = shards * 3 * SECONDS / OBJECT_SECONDS * min(1.0, events_a_second)
    items = [
        Item("Kinesis", f"{shards} shards, kept for 7 days",
             shards * HOURS * (p["kinesis_shard_hour"] + p["kinesis_extended_shard_hour"]) + events / 1e6 * p["kinesis_million_puts"]),
        Item("Lambda", "raw_writer and dynamodb_writer",
             events / RAW_WRITER_EVENTS_A_SECOND * 0.5 * p["lambda_gb_second_arm"]
             + events * INVOICE_LINES / LINES_A_SECOND_OF_WRITER * 1.73 * p["lambda_gb_second_arm"]
             + 2 * objects / 3 / 1e6 * p["lambda_million_requests"]),
        Item("S3", "raw/, clean/ and what lists them",
             objects * 3 / 1000 * p["s3_thousand_puts"] + gigabytes * (PACKED + PARQUET) * p["s3_gb_month"]),
        Item("SQS", "one message an object, received and deleted", objects * 3 / 1e6 * p["sqs_million"]),
        Item("DynamoDB", "two items in one transaction a line: four write units",
             events * INVOICE_LINES * 4 / 1e6 * p["dynamodb_million_writes"] + events * INVOICE_LINES * 600 / 1e9 * p["dynamodb_gb_month"]),
        Item("Glue", "three crawlers an hour, a minute each of two DPUs", 3 * HOURS / 60 * 2 * p["glue_dpu_hour"]),
        Item("CloudWatch", "logs of Lambdas", objects * 1000 / 1e9 * p["logs_gb"]),
    ]  # fmt: skip
    if "warehouse" in stacks:
        rpus = int(parameters.get("RedshiftBaseCapacity", "8"))
        items.append(Item("Redshift", f"{rpus} RPUs, busy {BUSY:.0%} of the time",
                          rpus * HOURS * BUSY * p["redshift_rpu_hour"] + gigabytes * 0.2 * p["redshift_gb_month"]))  # fmt: skip
    if "network" in stacks:
        nat = parameters.get("NatGateway", "true") == "true"
        endpoints = 30 if parameters.get("InterfaceEndpoints", "false") == "true" else 0
        items.append(Item("Network", f"{'a' if nat else 'no'} NAT gateway, {endpoints // 3} interface endpoints in 3 zones",
                          nat * HOURS * p["nat_hour"] + endpoints * HOURS * p["endpoint_hour"]))  # fmt: skip
    if "orchestration" in stacks:
        items.append(Item("MWAA", "mw1.small, with one worker", HOURS * p["mwaa_small_hour"]))
    return items
