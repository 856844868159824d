"""The key of the HMAC of personal columns, as the cleaning SQL takes it."""

from __future__ import annotations

from ecommerce_elt.errors import PermanentError

BLOCK_BYTES = 64  # SHA-256, RFC 2104


def hmac_pads(key: str) -> dict[str, str]:
    """Returns the inner and the outer pad of HMAC-SHA256 for `key`, in hex, as the cleaning SQL takes them (RFC 2104)."""
    block = key.encode()
    if len(block) > BLOCK_BYTES:
        raise PermanentError(f"ECOMMERCE_PII_HMAC_KEY: {len(block)} bytes, expected 16 to {BLOCK_BYTES}")
    block = block.ljust(BLOCK_BYTES, b"\0")
    return {
        "hmac_inner_pad": bytes(b ^ 0x36 for b in block).hex(),
        "hmac_outer_pad": bytes(b ^ 0x5C for b in block).hex(),
    }
