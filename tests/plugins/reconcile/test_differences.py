"""The metrics of a comparison."""

from datetime import UTC, datetime

from ecommerce_elt.reconcile.differences import Difference, put_metrics

from tests.plugins.cleaning.test_cleaning import MOVE


def test_metrics_by_feed(shop, cloud):
    cloudwatch, now = cloud.client("cloudwatch"), datetime.now(UTC)
    shop.load([MOVE], "a")
    summary, _ = shop.hours()
    found = [Difference(shop.name, "core", "", "x")]
    put_metrics(cloudwatch, [summary], found, shop.config, now)
    names = {
        (m["MetricName"], len(m["Dimensions"]))
        for m in cloudwatch.list_metrics(Namespace=shop.config.stack_prefix)["Metrics"]
    }
    assert names == {
        ("Differences", 0),
        ("Differences", 1),
        ("WaitingObjects", 1),
        ("OldestWaitingSeconds", 1),
        ("FreshnessSeconds", 1),
    }
