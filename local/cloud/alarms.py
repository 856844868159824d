"""Alarms of CloudWatch, each over the metric of its dimensions."""

from __future__ import annotations

import operator
import time
from typing import Any

from ministack.services import cloudwatch


def evaluate_alarm(alarm: dict[str, Any]) -> None:
    """Sets the alarm's state: ALARM if each of the last periods breaches the threshold.

    A period without data does not breach it, as our templates specify.
    """
    dimensions = cloudwatch._dims_key({d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])})
    points = cloudwatch._metrics.get((alarm.get("Namespace"), alarm.get("MetricName"), dimensions))
    if not points:
        return
    period, now = int(alarm.get("Period", 60)), time.time()
    values = []
    for number in range(int(alarm.get("EvaluationPeriods", 1))):
        end = now - number * period
        inside = [point for point in points if end - period < point["Timestamp"] <= end]
        statistic = alarm.get("Statistic", "Average")
        values.append(cloudwatch._stat_value(cloudwatch._calc_stats(inside), statistic, inside) if inside else None)
    limit = float(alarm["Threshold"])
    breaches = operator.lt if alarm["ComparisonOperator"] == "LessThanThreshold" else operator.gt
    state = "ALARM" if all(value is not None and breaches(value, limit) for value in values) else "OK"
    before = alarm["StateValue"]
    if state != before:
        reason = f"Threshold Crossed: {alarm.get('Statistic')} {values} {alarm['ComparisonOperator']} {limit}"
        alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(now)}
        cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
        cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
