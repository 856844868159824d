"""Records without an envelope: the keys say of which feed they are, or the reason why nobody can say."""

import pytest

from tests.plugins.cleaning.test_cleaning import LINE, MOVE, PERSON


@pytest.fixture
def recognition(layer):
    from ecommerce_events import recognition

    return recognition


@pytest.fixture
def known(layer):
    from ecommerce_events.contracts import contracts

    return contracts()


def without(record, *keys):
    return {key: value for key, value in record.items() if key not in keys}


@pytest.mark.parametrize(
    ("record", "feed"),
    [
        pytest.param(LINE, "online_retail", id="invoice_line"),
        pytest.param(PERSON, "purchases", id="purchase"),
        pytest.param(MOVE, "product_events", id="movement_with_event_time"),
        pytest.param({"timestamp": 1, "SKU": "1", "Qty": 1, "Unit Price": 2}, "product_events", id="aliases"),
        pytest.param(without(LINE, "Description", "CustomerID"), "online_retail", id="without_optional_columns"),
        pytest.param(dict.fromkeys(LINE), "online_retail", id="values_are_the_cleanings_work"),
        pytest.param(LINE | {"Channel": "web"}, "online_retail", id="unknown_key_that_is_kept"),
        pytest.param(LINE | {"event_id": "mine", "sent_at": "now"}, "online_retail", id="own_event_id"),
    ],
)
def test_the_keys_name_the_feed(recognition, known, record, feed):
    assert not recognition.is_meant_as_envelope(record, known)
    assert recognition.recognised_feed(record, known) == feed


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param({}, "fit no contract", id="empty"),
        pytest.param(
            without(LINE, "Country", "UnitPrice"),
            "nearest is online_retail, without UnitPrice, Country",
            id="two_missing",
        ),
        pytest.param(without(MOVE, "product_id"), "nearest is product_events, without product_id", id="one_missing"),
        pytest.param(PERSON | {"Maiden Name": "x"}, "beside the keys of purchases", id="unknown_key_beside_a_person"),
        pytest.param(LINE | {"Phone": "555"}, "beside the keys of online_retail", id="personal_key_of_another_feed"),
        pytest.param(LINE | MOVE, "several contracts: online_retail, product_events", id="two_contracts"),
    ],
)
def test_what_fits_no_single_contract_is_explained(recognition, known, record, reason):
    from ecommerce_events.envelope import NotAnEnvelope

    with pytest.raises(NotAnEnvelope, match=reason):
        recognition.recognised_feed(record, known)


def test_the_reason_has_nothing_of_the_record(recognition, known):
    from ecommerce_events.envelope import NotAnEnvelope

    for record in ({"Jane Example": "5 Moore Cliffs"}, PERSON | {"Jane Example": "5 Moore Cliffs"}):
        with pytest.raises(NotAnEnvelope) as found:
            recognition.recognised_feed(record, known)
        assert "Jane" not in str(found.value)
        assert "Cliffs" not in str(found.value)


def test_an_exact_fit_goes_before_one_with_unknown_keys(recognition, known):
    wider = {
        **known["product_events"],
        "columns": [
            *known["product_events"]["columns"],
            {"name": "shop", "type": "string", "required": True, "headers": ["Shop"], "privacy": "keep"},
        ],
        "known_keys": [*known["product_events"]["known_keys"], "Shop"],
    }
    both = known | {"shop_events": wider}
    assert recognition.recognised_feed(MOVE | {"Shop": "north"}, both) == "shop_events"
    assert recognition.recognised_feed(MOVE, both) == "product_events"


@pytest.mark.parametrize("keys", [("feed",), ("data",), ("event_id", "feed", "data")], ids=" ".join)
def test_feed_or_data_make_an_attempt_at_an_envelope(recognition, known, keys):
    assert recognition.is_meant_as_envelope(dict.fromkeys(keys), known)


def test_a_contract_may_have_a_column_called_data(recognition, known):
    column = {"name": "data", "type": "string", "required": True, "headers": ["data"], "privacy": "keep"}
    sensors = {"columns": [column], "known_keys": ["data"], "unknown_keys": "keep"}
    assert not recognition.is_meant_as_envelope({"data": "x"}, known | {"sensors": sensors})
    assert recognition.is_meant_as_envelope({"feed": "sensors", "data": {}}, known | {"sensors": sensors})
