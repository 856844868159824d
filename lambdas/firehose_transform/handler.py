"""Lambda firehose_transform: converts events to rows for the delivery stream into Redshift.

A record whose invoice lines all break their contract fails here and is stored under Firehose's error prefix.
load_events reports the reasons.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from ecommerce_events.failures import values_withheld
from ecommerce_events.memory import collect_seldom

from lambdas.firehose_transform.logic import answer_of

log = logging.getLogger()
log.setLevel(logging.INFO)
collect_seldom()


@values_withheld
def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:
    """Returns the result and data of every record of the event, identified by recordId."""
    records, unfit = answer_of(event["records"])
    log.info("records %s", dict(Counter(record["result"] for record in records)))
    if unfit:
        log.error("records=%s have more rows than an answer takes; send them in smaller records", unfit)
    return {"records": records}
