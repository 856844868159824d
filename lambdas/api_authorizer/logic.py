"""Lookup of an API key by its digest. Only the client has the key itself."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True)
class Known:
    """The valid keys of a name, as SHA-256 digests in hex, and its rights."""

    digests: tuple[str, ...]
    may: tuple[str, ...]


def known_of(secret: str) -> dict[str, Known]:
    """Returns digests and rights by name, from the secret's text: {name: {"keys": [{"sha256"}], "may": [right]}}."""
    return {
        name: Known(tuple(key["sha256"] for key in entry["keys"]), tuple(entry["may"]))
        for name, entry in json.loads(secret).items()
    }


def name_of(key: str, known: Mapping[str, Known]) -> str | None:
    """Returns the name of the key, or None if the key is unknown."""
    digest = sha256(key.encode("utf-8", "replace")).hexdigest()
    # The loop does not end early, so that the response time does not reveal how much of a key is correct.
    found = [name for name, entry in known.items() for one in entry.digests if hmac.compare_digest(digest, one)]
    return found[0] if key and found else None
