"""The HMAC key for personal columns, in the form that the cleaning SQL uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecommerce_elt.errors import PermanentError

if TYPE_CHECKING:
    from types_boto3_secretsmanager.client import SecretsManagerClient

KEY_MIN_BYTES = 16
BLOCK_BYTES = 64  # SHA-256, RFC 2104


def hmac_pads(key: str) -> dict[str, str]:
    """Returns the inner and outer pad of HMAC-SHA256 for `key` (RFC 2104), in hex as parameters of the cleaning SQL.

    Raises:
        PermanentError: the key is too short or too long.
    """
    block = key.encode()
    if not KEY_MIN_BYTES <= len(block) <= BLOCK_BYTES:
        raise PermanentError(
            f"the key of the HMAC of personal columns (ECOMMERCE_PII_HMAC_KEY, or the secret) has {len(block)} "
            f"bytes, expected {KEY_MIN_BYTES} to {BLOCK_BYTES}"
        )
    block = block.ljust(BLOCK_BYTES, b"\0")
    return {
        "hmac_inner_pad": bytes(b ^ 0x36 for b in block).hex(),
        "hmac_outer_pad": bytes(b ^ 0x5C for b in block).hex(),
    }


def secret_key(client: SecretsManagerClient, name: str) -> str:
    """Returns the HMAC key from Secrets Manager.

    Args:
        client: a boto3 `secretsmanager` client.
        name: name or ARN of the secret.

    Raises:
        PermanentError: there is no such secret.
    """
    try:
        return str(client.get_secret_value(SecretId=name)["SecretString"])
    except (client.exceptions.ResourceNotFoundException, client.exceptions.InvalidRequestException) as error:
        raise PermanentError(
            f"secret {name}, the key of the HMAC of personal columns: {error}. The deployment makes it: "
            "python -m infra.deploy"
        ) from error
