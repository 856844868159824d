"""The keys of the HTTP API, made and ended by their command, as the running API of the local cloud takes them."""

import json
import threading
import uuid

import boto3
import httpx
import pytest
from ecommerce_elt.errors import PermanentError, TransientError
from typer.testing import CliRunner

from infra import api_keys
from infra.deploy import _deployed_before
from local.supervision import wait_for
from tests.conftest import PROJECT

MOVEMENT = {"event_time": "2026-01-02T03:04:05Z", "product_id": "P-1", "quantity": -2, "price": "9.95"}


@pytest.fixture
def client(cloud, monkeypatch):
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    return boto3.client("secretsmanager")


@pytest.fixture
def prefix(client):
    """A deployment of the test's own, as far as its secret goes."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    api_keys.ensure_keys(name)
    return name


def run(*words):
    return CliRunner().invoke(api_keys.app, words)


def entries(client, prefix):
    return json.loads(client.get_secret_value(SecretId=f"{prefix}/api-keys")["SecretString"])


def test_a_key_from_its_making_to_its_end(client, prefix):
    made = run("create", "shop", "--may", "correct,send", "--prefix", prefix)
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert len(key) >= 43
    assert entries(client, prefix)["shop"]["may"] == ["send", "correct"]
    assert [k["sha256"] for k in entries(client, prefix)["shop"]["keys"]] == [api_keys.digest_of(key)]
    assert key not in client.get_secret_value(SecretId=f"{prefix}/api-keys")["SecretString"]
    assert "there is a key shop already" in run("create", "shop", "--prefix", prefix).output

    following = run("rotate", "shop", "--prefix", prefix).stdout.strip()
    both = [k["sha256"] for k in entries(client, prefix)["shop"]["keys"]]
    assert both == [api_keys.digest_of(following), api_keys.digest_of(key)]
    assert "retire the old one first" in run("rotate", "shop", "--prefix", prefix).output
    assert run("retire", "shop", "--prefix", prefix).exit_code == 0
    assert [k["sha256"] for k in entries(client, prefix)["shop"]["keys"]] == both[:1]
    assert "rotate it first" in run("retire", "shop", "--prefix", prefix).output

    listed = run("list", "--prefix", prefix).output
    assert "shop" in listed
    assert "send, correct" in listed
    assert run("revoke", "shop", "--prefix", prefix).exit_code == 0
    assert entries(client, prefix) == {}
    assert run("revoke", "shop", "--prefix", prefix).exit_code == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("create", "A Shop"), "lower-case"),
        (("create", "shop", "--may", "all"), "send, read, correct"),
        (("rotate", "nobody"), "no key 'nobody'"),
        (("create", "shop", "--prefix", "nowhere"), "deploy first"),
        (("create", "shop", "--stage", "nowhere"), "no stage 'nowhere'"),
    ],
)
def test_what_cannot_be_is_said(client, prefix, words, says):
    chosen = () if {"--prefix", "--stage"} & set(words) else ("--prefix", prefix)
    answer = run(*words, *chosen)
    assert (answer.exit_code, says in answer.output) == (1, True), answer.output


def test_changes_at_the_same_time_lose_none(client, prefix):
    """Ten people at once: whoever comes second changes what the first has left."""
    barrier = threading.Barrier(10)

    def add(number):
        barrier.wait()
        while True:
            try:
                api_keys.know(client, prefix, f"shop-{number}", f"key {number}", ["send"])
            except TransientError:
                continue
            return

    threads = [threading.Thread(target=add, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(entries(client, prefix)) == {f"shop-{number}" for number in range(10)}


def test_a_change_that_another_one_overtakes_begins_again(client, prefix):
    seen = []

    def slowly(found):
        seen.append(set(found))
        if len(seen) == 1:
            api_keys.know(client, prefix, "faster", "a key", ["send"])
        found["slower"] = {"may": [], "keys": []}

    api_keys.change(client, prefix, slowly)
    assert seen == [set(), {"faster"}]
    assert set(entries(client, prefix)) == {"faster", "slower"}


def test_the_secret_has_an_end(client, prefix):
    def many(found):
        found |= {f"shop-{number}": {"may": [], "keys": [{"sha256": "0" * 64, "since": ""}]} for number in range(700)}

    with pytest.raises(PermanentError, match="700 keys are more than it holds"):
        api_keys.change(client, prefix, many)


def test_keys_of_a_deployment_before_there_were_names_go_on_without_the_right_to_correct(client):
    prefix = f"test-{uuid.uuid4().hex[:8]}"
    digest = api_keys.digest_of("the old key")
    arn = api_keys.ensure_keys(prefix, [digest.upper(), ""][:1])
    assert entries(client, prefix)["default"]["may"] == ["send", "read"]
    assert [k["sha256"] for k in entries(client, prefix)["default"]["keys"]] == [digest]
    assert api_keys.ensure_keys(prefix, ["another"]) == arn  # only the first deployment takes them over
    assert [k["sha256"] for k in entries(client, prefix)["default"]["keys"]] == [digest]


def test_the_digests_of_the_template_before_are_found(client):
    prefix = f"test-{uuid.uuid4().hex[:8]}"
    template = {
        "Parameters": {"ApiKeySha256": {"Type": "CommaDelimitedList"}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
    assert _deployed_before(prefix, "ApiKeySha256") == []
    boto3.client("cloudformation").create_stack(
        StackName=f"{prefix}-streaming",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "ApiKeySha256", "ParameterValue": "ab,cd"}],
    )
    assert _deployed_before(prefix, "ApiKeySha256") == ["ab", "cd"]
    assert _deployed_before(prefix, "ApiKeysSecretArn") == []


def test_a_key_is_known_under_one_name(client, prefix):
    api_keys.know(client, prefix, "before", "a key", ["send"])
    api_keys.know(client, prefix, "now", "a key", ["send", "read"])
    assert {name: entry["may"] for name, entry in entries(client, prefix).items()} == {"now": ["send", "read"]}


@pytest.mark.nightly
def test_a_new_key_is_taken_and_named_in_the_access_log_and_a_revoked_one_is_out(client, cloud):
    """The whole way: the secret, the authorizer, API Gateway, the function, and the access log."""
    name = f"shop-{uuid.uuid4().hex[:8]}"
    key = run("create", name, "--may", "send").stdout.strip()
    url = cloud.user_environment()["ECOMMERCE_API_URL"]

    def post(**more):
        event = {"feed": "product_events", "data": MOVEMENT, **more}
        return httpx.post(f"{url}/events", json=event, headers={"x-api-key": key}, timeout=35)

    wait_for(lambda: post().status_code == 202, 60, "the new key")
    refused = post(event_version=2)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (403, "event_version")
    assert f"the key {name} may not correct; it may send" in refused.json()["message"]
    reading = httpx.get(f"{url}/invoices/1", headers={"x-api-key": key}, timeout=35)
    assert (reading.status_code, reading.json()) == (403, {"message": f"the key {name} may not read; it may send"})

    pages = boto3.client("logs").get_paginator("filter_log_events").paginate(logGroupName="/aws/apigateway/ecommerce")
    lines = [json.loads(event["message"]) for page in pages for event in page["events"]]
    access = [line for line in lines if line["key"] == name]
    assert {(line["key"], line["route"], line["status"]) for line in access} == {
        (name, "POST /events", "202"),
        (name, "POST /events", "403"),
        (name, "GET /invoices/{InvoiceNo}", "403"),
    }

    assert run("revoke", name).exit_code == 0
    wait_for(lambda: post().status_code == 403, 65, "the revocation", 1)


def test_the_makefile_has_the_commands():
    makefile = (PROJECT / "Makefile").read_text()
    for target, command in (
        ("api-key", "create"),
        ("api-key-rotate", "rotate"),
        ("api-key-retire", "retire"),
        ("api-key-revoke", "revoke"),
        ("api-keys", "list"),
    ):
        assert f"{target}: $(READY)" in makefile
        assert f"$(API_KEYS) {command}" in makefile
