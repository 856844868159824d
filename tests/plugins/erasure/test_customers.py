"""Names that are nobody's."""

import pytest
from ecommerce_elt.erasure.customers import customer_of
from ecommerce_elt.errors import PermanentError


def test_who_is_nobody_is_refused(config):
    for feed, name, message in [
        ("product_events", "1", "expected one with customers"),
        ("nothing", "1", "expected one with"),
        ("online_retail", "unknown", "names nobody"),
        ("online_retail", " ", "names nobody"),
        ("purchases", "erased", "names nobody"),
        ("purchases", "555 123 4567", "Never a phone number"),
    ]:
        with pytest.raises(PermanentError, match=message):
            customer_of(feed, name, config)
