import json
from hashlib import sha256

import pytest
from botocore.exceptions import ClientError

from tests.conftest import PROJECT


def entry(*keys, may=("send", "read")):
    return {"keys": [{"sha256": sha256(key.encode()).hexdigest()} for key in keys], "may": list(may)}


class Secret:
    """Secrets Manager with one secret, which counts how often it is asked for."""

    def __init__(self, **entries):
        self.entries, self.asked = entries, 0

    def get_secret_value(self, SecretId):  # noqa: N803
        self.asked += 1
        if self.entries is None:
            raise ClientError({"Error": {"Code": "InternalServiceError", "Message": "no"}}, "GetSecretValue")
        return {"SecretString": json.dumps(self.entries)}


class Clock:
    now = 1_000_000.0

    def time(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def authorizer(handler_of, monkeypatch, clock):
    module = handler_of("api_authorizer", API_KEYS_SECRET="ecommerce/api-keys")
    monkeypatch.setattr(
        module, "secrets", Secret(shop=entry("a key", "the next key"), desk=entry("desk", may=["correct"]))
    )
    monkeypatch.setattr(module, "time", clock)
    return module


def ask(authorizer, key):
    sample = json.loads((PROJECT / "lambdas/api_authorizer/event.json").read_text())
    sample["headers"]["x-api-key"] = key
    return authorizer.handler(sample, None)


@pytest.mark.parametrize(
    ("key", "context"),
    [
        ("a key", {"key": "shop", "may": "send,read"}),
        ("the next key", {"key": "shop", "may": "send,read"}),
        ("desk", {"key": "desk", "may": "correct"}),
        ("a kez", None),
        ("", None),
        ("é", None),
        (sha256(b"a key").hexdigest(), None),
    ],
)
def test_only_known_keys_get_in_with_their_name_and_rights(authorizer, key, context):
    expected = {"isAuthorized": True, "context": context} if context else {"isAuthorized": False}
    assert ask(authorizer, key) == expected


def test_no_header_and_no_keys(authorizer):
    assert authorizer.handler({"headers": {}}, None) == {"isAuthorized": False}
    authorizer.secrets.entries = {}
    assert ask(authorizer, "another") == {"isAuthorized": False}


def test_a_revoked_key_is_out_within_half_a_minute(authorizer, clock):
    """API Gateway remembers an answer as long again: tests/infra/test_streaming.py."""
    assert ask(authorizer, "a key")["isAuthorized"]
    del authorizer.secrets.entries["shop"]
    clock.now += 29
    assert (ask(authorizer, "a key")["isAuthorized"], authorizer.secrets.asked) == (True, 1)
    clock.now += 2
    assert not ask(authorizer, "a key")["isAuthorized"]


def test_a_new_key_is_in_at_once_and_guesses_do_not_ask_for_the_secret_all_the_time(authorizer, clock):
    assert ask(authorizer, "a key")["isAuthorized"]
    authorizer.secrets.entries["new"] = entry("new")
    clock.now += 3
    assert ask(authorizer, "new")["context"]["key"] == "new"
    for number in range(100):
        assert not ask(authorizer, f"guess {number}")["isAuthorized"]
    assert authorizer.secrets.asked == 2


def test_without_the_secret_nobody_gets_in_and_the_function_fails(authorizer, clock):
    assert ask(authorizer, "a key")["isAuthorized"]
    authorizer.secrets.entries = None
    clock.now += 31
    with pytest.raises(Exception, match="^ClientError: InternalServiceError to GetSecretValue$"):
        ask(authorizer, "a key")


def test_the_log_names_the_key_and_never_has_it(authorizer, caplog):
    caplog.set_level("INFO")
    ask(authorizer, "a key")
    ask(authorizer, "a wrong key")
    assert "key=shop known=True" in caplog.text
    assert "a key" not in caplog.text
    assert "a wrong key" not in caplog.text
