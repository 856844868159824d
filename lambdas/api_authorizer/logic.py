"""Whether a key is known, by its digest: the function's configuration holds no key."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256


def is_known(key: str, digests: Iterable[str]) -> bool:
    """Returns whether the SHA-256 of `key`, in hex, is among `digests`. Two keys may be known while one is replaced."""
    digest = sha256(key.encode("utf-8", "replace")).hexdigest()
    # No early end: the time must not tell how much of a key is right.
    return bool(key) and sum(hmac.compare_digest(digest, known.strip().lower()) for known in digests) > 0
