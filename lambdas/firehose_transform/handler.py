"""Lambda firehose_transform: events to rows, for the delivery stream into Redshift.

An invoice line that breaks its contract fails here and is kept under Firehose's error prefix; load_events says why.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from ecommerce_events.failures import values_withheld
from ecommerce_events.memory import collect_seldom
from logic import answer_of

log = logging.getLogger()
log.setLevel(logging.INFO)
collect_seldom()


@values_withheld
def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:
    """Returns every record of the event, by recordId, with its result and data."""
    records, unfit = answer_of(event["records"])
    log.info("records %s", dict(Counter(record["result"] for record in records)))
    if unfit:
        log.error("records=%s have more rows than an answer takes; send them in smaller records", unfit)
    return {"records": records}
