"""Health checks of the containers: `python -m local.health URL [PART]`, or `--stream`.

PART is a component in Airflow's health document. `--stream` checks whether the producer's stream accepts records. The
command exits with 1 and prints the reason if the check fails.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request


def problem(arguments: list[str]) -> str:
    """Returns the problem that was found, or an empty text."""
    if arguments == ["--stream"]:
        import boto3

        name = os.environ.get("ECOMMERCE_STREAM", "ecommerce-events")
        described = boto3.client("kinesis").describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        state = described["StreamStatus"]
        return "" if state in {"ACTIVE", "UPDATING"} else f"stream {name} is {state}"
    url, *part = arguments
    try:
        with urllib.request.urlopen(url, timeout=8) as answer:  # noqa: S310  # http, from the compose file
            body = answer.read()
    except (urllib.error.URLError, TimeoutError) as error:
        return f"{url}: {error}"
    status = json.loads(body)[part[0]]["status"] if part else "healthy"
    return "" if status == "healthy" else f"{part[0]} is {status}"


if __name__ == "__main__":
    sys.exit(problem(sys.argv[1:]) or None)
