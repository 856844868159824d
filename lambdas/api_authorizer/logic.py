"""Whose key it is, by its digest: nobody but the client has the key itself."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True)
class Known:
    """A name with the SHA-256 digests, in hex, of the keys that are valid for it, and its rights."""

    digests: tuple[str, ...]
    may: tuple[str, ...]


def known_of(secret: str) -> dict[str, Known]:
    """Returns name to what is known of it, from the secret's text: {name: {"keys": [{"sha256"}], "may": [right]}}."""
    return {
        name: Known(tuple(key["sha256"] for key in entry["keys"]), tuple(entry["may"]))
        for name, entry in json.loads(secret).items()
    }


def name_of(key: str, known: Mapping[str, Known]) -> str | None:
    """Returns the name under which the key is known, or None."""
    digest = sha256(key.encode("utf-8", "replace")).hexdigest()
    # No early end: the time must not tell how much of a key is right.
    found = [name for name, entry in known.items() for one in entry.digests if hmac.compare_digest(digest, one)]
    return found[0] if key and found else None
