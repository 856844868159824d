"""Feeds of the test's own, whose days are compared again at once."""

import pytest

from tests.support.own_feed import Shop


@pytest.fixture
def shop(observer, bucket, config, tmp_path):
    return Shop(observer, bucket, config, tmp_path)


@pytest.fixture
def retail(observer, bucket, config, tmp_path):
    return Shop(observer, bucket, config, tmp_path, "online_retail", "fact_invoice_line")


@pytest.fixture(autouse=True)
def looks_follow_at_once(monkeypatch):
    monkeypatch.setattr("ecommerce_elt.reconcile.days.LOOK_SECONDS", 0.0)
