import json
from hashlib import sha256

import pytest

from tests.conftest import PROJECT

KEYS = [sha256(key.encode()).hexdigest() for key in ("a key", "the next key")]


@pytest.fixture
def authorizer(handler_of):
    return handler_of("api_authorizer", API_KEY_SHA256=",".join(KEYS))


@pytest.mark.parametrize(
    ("key", "known"),
    [("a key", True), ("the next key", True), ("a kez", False), ("", False), (KEYS[0], False), ("é", False)],
)
def test_only_known_keys_get_in(authorizer, key, known):
    sample = json.loads((PROJECT / "lambdas/api_authorizer/event.json").read_text())
    sample["headers"]["x-api-key"] = key
    assert authorizer.handler(sample, None) == {"isAuthorized": known}


def test_no_header_and_no_keys(authorizer, handler_of):
    assert authorizer.handler({"headers": {}}, None) == {"isAuthorized": False}
    nobody = handler_of("api_authorizer", API_KEY_SHA256="")
    assert nobody.handler({"headers": {"x-api-key": ""}}, None) == {"isAuthorized": False}
