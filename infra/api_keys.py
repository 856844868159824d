"""The keys of the HTTP API, one a producer: `python -m infra.api_keys --help`.

A secret in Secrets Manager has each key's name, its rights and its SHA-256 digest; the key itself is printed once and kept nowhere.
A change counts at once for a new key and within a minute for a revoked one. Works against whatever boto3's variables name.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_elt import aws_names
from ecommerce_elt.errors import PermanentError, TransientError
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from types_boto3_secretsmanager.client import SecretsManagerClient

# send: POST /events. read: GET. correct: an event_version above 1, which replaces an event, whoever sent it.
RIGHTS = ("send", "read", "correct")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SECRET_MAX_BYTES = 65536  # Secrets Manager quotas
DIGESTS_MAX = 2  # valid keys of a name at a time: the new one and its predecessor
ATTEMPTS = 5

Entries = dict[str, dict[str, Any]]  # name to {"may": [right], "keys": [{"sha256", "since"}]}, the newest key first

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
out, err = Console(), Console(stderr=True)

Name = Annotated[str, typer.Argument(help="Name of the key: who sends with it. Logs show it.")]
Prefix = Annotated[str, typer.Option(help="Prefix of all names of the deployment.")]
Stage = Annotated[str, typer.Option(help="Environment: a file of infra/stages/, which has the prefix.")]


def digest_of(key: str) -> str:
    """Returns the digest of a key for the secret. Keys are random, so one round of SHA-256 is enough."""
    return sha256(key.encode()).hexdigest()


def _entry(digests: Iterable[str], may: Iterable[str]) -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    rights = set(may)
    return {"may": [r for r in RIGHTS if r in rights], "keys": [{"sha256": d, "since": since} for d in digests]}


def ensure_keys(prefix: str, digests: Iterable[str] = ()) -> str:
    """Returns the ARN of the secret, which is created if it does not exist.

    Args:
        prefix: prefix of all names of the deployment.
        digests: digests of keys from before the secret existed. They get the name `default`, without the right to
            correct.
    """
    client = boto3.client("secretsmanager")
    known = [digest.strip().lower() for digest in digests]
    try:
        return str(client.describe_secret(SecretId=aws_names.api_keys_secret(prefix))["ARN"])
    except client.exceptions.ResourceNotFoundException:
        entries = {"default": _entry(known, ("send", "read"))} if known else {}
        return str(
            client.create_secret(Name=aws_names.api_keys_secret(prefix), SecretString=json.dumps(entries))["ARN"]
        )


def change(client: SecretsManagerClient, prefix: str, how: Callable[[Entries], None]) -> None:
    """Changes the entries by `how` in one atomic step.

    Of two concurrent changes, the later one is applied to the result of the earlier one.

    Raises:
        PermanentError: there is no secret, it would be too large, or `how` refuses the change.
        TransientError: others changed the secret during every attempt.
    """
    secret = aws_names.api_keys_secret(prefix)
    for _ in range(ATTEMPTS):
        try:
            current = client.get_secret_value(SecretId=secret)
        except client.exceptions.ResourceNotFoundException as error:
            raise PermanentError(f"no secret {secret}: deploy first, and name the deployment's prefix") from error
        entries: Entries = json.loads(current["SecretString"])
        how(entries)
        text = json.dumps(entries)
        if text == current["SecretString"]:
            return
        if len(text) > SECRET_MAX_BYTES:
            raise PermanentError(
                f"secret {secret}: {len(entries)} keys are more than it holds; revoke what is not used"
            )
        made = client.put_secret_value(SecretId=secret, SecretString=text, VersionStages=["AWSPENDING"])
        try:
            client.update_secret_version_stage(
                SecretId=secret,
                VersionStage="AWSCURRENT",
                MoveToVersionId=made["VersionId"],
                RemoveFromVersionId=current["VersionId"],  # refused if another version is current by now
            )
        except (client.exceptions.InvalidParameterException, client.exceptions.InvalidRequestException):
            continue
        return
    raise TransientError(f"secret {secret}: changed by others {ATTEMPTS} times; try again")


def know(client: SecretsManagerClient, prefix: str, name: str, key: str, may: Iterable[str]) -> None:
    """Registers an existing key under this name only, with exactly these rights. Idempotent."""
    wanted = _entry([digest_of(key)], may)

    def add(entries: Entries) -> None:
        for other, entry in list(entries.items()):
            if other != name and [k["sha256"] for k in entry["keys"]] == [digest_of(key)]:
                del entries[other]
        found = entries.get(name, {"may": [], "keys": []})
        if (found["may"], [k["sha256"] for k in found["keys"]]) != (wanted["may"], [digest_of(key)]):
            entries[name] = wanted

    change(client, prefix, add)


def _found(entries: Entries, name: str) -> dict[str, Any]:
    if name not in entries:
        raise PermanentError(f"no key {name!r}; there are {', '.join(sorted(entries)) or 'none'}")
    return entries[name]


def _fail(message: object) -> NoReturn:
    err.print(f"[red]api-key:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _prefix(prefix: str, stage: str) -> str:
    if not stage:
        return prefix
    from infra.stage_file import load_stage  # its imports are needed only for deployments

    return load_stage(stage).prefix


def _changed(prefix: str, stage: str, how: Callable[[Entries], None]) -> None:
    try:
        change(boto3.client("secretsmanager"), _prefix(prefix, stage), how)
    except (PermanentError, TransientError, ClientError, BotoCoreError) as error:
        _fail(error)


def _say(text: str) -> None:
    err.print(text, highlight=False, soft_wrap=True)


@app.command()
def create(
    name: Name,
    may: Annotated[str, typer.Option(help=f"Rights, separated by commas: {', '.join(RIGHTS)}.")] = "send,read",
    prefix: Prefix = aws_names.PREFIX,
    stage: Stage = "",
) -> None:
    """Make a key and print it once."""
    rights = {right.strip() for right in may.split(",")}
    if not NAME.fullmatch(name):
        _fail(f"{name!r}: expected lower-case letters, digits and hyphens, at most 63")
    if not rights <= set(RIGHTS):
        _fail(f"--may {may}: expected some of {', '.join(RIGHTS)}, with commas between")
    key = secrets.token_urlsafe(32)

    def add(entries: Entries) -> None:
        if name in entries:
            raise PermanentError(f"there is a key {name} already; rotate it, or revoke it first")
        entries[name] = _entry([digest_of(key)], rights)

    _changed(prefix, stage, add)
    _say(
        f"{name} may {', '.join(r for r in RIGHTS if r in rights)}. The key, which is kept nowhere, is sent as x-api-key:"
    )
    typer.echo(key)


@app.command()
def rotate(name: Name, prefix: Prefix = aws_names.PREFIX, stage: Stage = "") -> None:
    """Make another key of the name and print it once. The previous key is valid until `retire`."""
    key = secrets.token_urlsafe(32)

    def add(entries: Entries) -> None:
        entry = _found(entries, name)
        if len(entry["keys"]) >= DIGESTS_MAX:
            raise PermanentError(f"{name} has {len(entry['keys'])} keys already: retire the old one first")
        entry["keys"] = _entry([digest_of(key)], ())["keys"] + entry["keys"]

    _changed(prefix, stage, add)
    _say(f"The next key of {name}; the one before is valid until it is retired:")
    typer.echo(key)


@app.command()
def retire(name: Name, prefix: Prefix = aws_names.PREFIX, stage: Stage = "") -> None:
    """Revoke all keys of the name except the newest."""

    def remove(entries: Entries) -> None:
        entry = _found(entries, name)
        if len(entry["keys"]) < DIGESTS_MAX:
            raise PermanentError(f"{name} has one key only: rotate it first, or revoke it")
        del entry["keys"][1:]

    _changed(prefix, stage, remove)
    _say(f"only the newest key of {name} is valid, a minute from now at the latest")


@app.command()
def revoke(name: Name, prefix: Prefix = aws_names.PREFIX, stage: Stage = "") -> None:
    """Revoke all keys of the name."""

    def remove(entries: Entries) -> None:
        _found(entries, name)
        del entries[name]

    _changed(prefix, stage, remove)
    _say(f"{name} is out, a minute from now at the latest")


@app.command("list")
def list_keys(prefix: Prefix = aws_names.PREFIX, stage: Stage = "") -> None:
    """Show the names, their rights, and the date from which each key is valid."""
    try:
        secret = aws_names.api_keys_secret(_prefix(prefix, stage))
        entries: Entries = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
    except (PermanentError, ClientError, BotoCoreError) as error:
        _fail(error)
    table = Table("key", "may", "valid since", box=None)
    for name, entry in sorted(entries.items()):
        table.add_row(name, ", ".join(entry["may"]), ", ".join(key["since"] for key in entry["keys"]))
    out.print(table)


if __name__ == "__main__":
    app()
