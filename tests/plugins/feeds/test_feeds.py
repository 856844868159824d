import pytest
import yaml
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import load_contract, normalise_header

VALID = {
    "feed": "orders",
    "version": 1,
    "grain": "one order",
    "event_time": "ordered_at",
    "partition_key": "order_id",
    "staging": "staging.orders",
    "tables": ["core.fact_order"],
    "columns": [
        {"name": "order_id", "header": "Order", "type": "string", "max_bytes": 10, "required": True},
        {"name": "ordered_at", "header": "When", "type": "timestamp", "required": True},
    ],
}


def _changed(**changes):
    return {**VALID, **changes}


def _with_column(**column):
    return _changed(columns=[*VALID["columns"], {"name": "extra", "header": "Extra", **column}])


def _load(tmp_path, content, name="orders"):
    path = tmp_path / f"{name}.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_contract(path)


def test_a_valid_contract_loads(tmp_path):
    contract = _load(tmp_path, VALID)
    assert contract.headers[normalise_header("ORDER")].name == "order_id"
    assert contract.headers[normalise_header("ordered_at")].name == "ordered_at"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("feed: [", "not YAML", id="broken_yaml"),
        pytest.param(_changed(feed="Orders"), "feed", id="feed_in_capitals"),
        pytest.param(_changed(feed="sales"), "named after it", id="feed_is_not_the_file_name"),
        pytest.param(_changed(event_time="nope"), "'nope', which is no column", id="event_time_is_no_column"),
        pytest.param(_changed(event_time="order_id"), "type is not timestamp", id="event_time_is_no_time"),
        pytest.param(_changed(tables=["fact_order"]), "schema.table", id="table_without_schema"),
        pytest.param(_changed(colour="red"), "colour", id="unknown_key"),
        pytest.param(_with_column(type="money"), "type", id="unknown_type"),
        pytest.param(_with_column(type="string"), "needs max_bytes", id="string_without_length"),
        pytest.param(_with_column(type="integer", max_bytes=3), "max_bytes cannot be said", id="length_of_a_number"),
        pytest.param(_with_column(type="timestamp", min=3), "min cannot be said", id="minimum_of_a_time"),
        pytest.param(_with_column(type="string", max_bytes=9, privacy="hide"), "privacy", id="unknown_privacy"),
    ],
)
def test_a_wrong_contract_is_refused_by_file_and_key(tmp_path, content, says):
    with pytest.raises(PermanentError, match=r"orders\.yaml") as raised:
        _load(tmp_path, content)
    assert says in str(raised.value)


def test_the_three_feeds_are_there(contracts):
    assert {"online_retail", "product_events", "purchases"} <= contracts.keys()


def test_personal_columns_are_marked(contracts):
    come_with_the_product = {name: contracts[name] for name in ("online_retail", "product_events", "purchases")}
    marked = {
        (f, c.name): c.privacy for f, k in come_with_the_product.items() for c in k.columns if c.privacy != "keep"
    }
    assert marked == {
        ("purchases", "name"): "drop",
        ("purchases", "address"): "mask",
        ("purchases", "phone"): "hmac",
        ("purchases", "age"): "mask",
    }
