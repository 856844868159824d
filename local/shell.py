"""The output of `make env`: a shell that evaluates it uses the local cloud, and never AWS."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# The first versions of the AWS CLI that support AWS_ENDPOINT_URL (AWS SDKs and Tools reference guide, "Service-specific
# endpoints"). Debian 12 has 2.9.
CLI_NEEDED = {1: (1, 29, 0), 2: (2, 13, 0)}
# Version 1 of the AWS CLI has its own URLs for these services, which override AWS_ENDPOINT_URL
# (awscli/customizations/overridesslcommonname.py).
OWN_NAMES = ("sqs", "emr", "rds", "docdb", "neptune", "health")
# Variables of the user's shell that select other credentials, another region or another endpoint than those that are
# exported.
IN_THE_WAY = re.compile(
    r"AWS_(PROFILE|DEFAULT_PROFILE|SESSION_TOKEN|SECURITY_TOKEN|REGION|USE_FIPS_ENDPOINT|USE_DUALSTACK_ENDPOINT|ENDPOINT_URL_\w+)"
)


def lines(wanted: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[str]:
    """Yields the lines that the shell evaluates.

    Args:
        wanted: variables to export.
        environment: variables of the user's shell; those for AWS that are not exported are unset.
    """
    for name in sorted(environment):
        if IN_THE_WAY.fullmatch(name) and name not in wanted:
            yield f"unset {name}"
    for name, value in wanted.items():
        yield f"export {name}={shlex.quote(value)}"
    yield from _aws(environment)


def _aws(environment: Mapping[str, str]) -> Iterator[str]:
    """Yields the shell function `aws` if there is an AWS CLI: that of the PATH, else that of `make test`."""
    ours = Path(sys.executable).parent / "aws"
    command = shutil.which("aws", path=environment.get("PATH")) or (str(ours) if ours.exists() else None)
    if command is None:
        return
    if says := too_old(command):
        # Every command of it would be sent to AWS itself.
        yield f"aws() {{ echo {shlex.quote(says)} >&2; return 1; }}"
        return
    run, words = shlex.quote(command), "|".join(f'*" {service} "*' for service in OWN_NAMES)
    yield f'aws() {{ case " $* " in {words}) {run} --endpoint-url "$AWS_ENDPOINT_URL" "$@";; *) {run} "$@";; esac; }}'


def too_old(command: str) -> str:
    """Returns why the AWS CLI cannot be used with the local cloud, and the remedy; an empty text if it can be used."""
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"aws-cli/(\d+)\.(\d+)\.(\d+)", said.stdout + said.stderr)
    if not found:
        return ""  # it does not run at all
    version = tuple(map(int, found.groups()))
    if version >= CLI_NEEDED.get(version[0], (0,)):
        return ""
    newer = " or ".join(".".join(map(str, needed)) for needed in CLI_NEEDED.values())
    return (
        f"{command} is the AWS CLI {'.'.join(found.groups())}, which does not know AWS_ENDPOINT_URL and would ask AWS itself: "
        f"use .venv/bin/aws (make test installs it), or {newer} and newer"
    )
