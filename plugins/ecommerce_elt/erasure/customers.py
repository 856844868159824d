"""Customers: who may be erased, and how a text names one."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract, Erasure, load_contracts
from ecommerce_elt.settings import Settings

_PHONE = re.compile(r"[0-9+(][0-9 ().+x/-]{4,}[0-9]")
_HMAC = re.compile(r"[0-9a-f]{64}")
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)  # ASCII only, since engines differ for other letters
_BETWEEN_WORDS = re.compile(r"""[\s"'\\,;|<>(){}\[\]]+""")


@dataclass(frozen=True)
class Customer:
    """One customer of one feed. `name` is a value of the contract's column `erasure.customer`: a number or an HMAC."""

    contract: Contract
    name: str

    @property
    def feed(self) -> str:
        return self.contract.feed

    @property
    def erasure(self) -> Erasure:
        assert self.contract.erasure is not None
        return self.contract.erasure


def customer_of(feed: str, name: str, settings: Settings) -> Customer:
    """Returns the customer.

    Raises:
        PermanentError: the feed has no customers, or the name cannot be that of a customer.
    """
    contracts = load_contracts(settings.include_dir / "feeds")
    with_customers = [name for name, contract in contracts.items() if contract.erasure]
    if feed not in with_customers:
        raise PermanentError(f"feed {feed!r}: expected one with customers: {', '.join(with_customers)}")
    found = Customer(contracts[feed], name.strip())
    if not found.name or found.name in found.erasure.row.values():
        raise PermanentError(f"{found.erasure.customer} {name!r} names nobody")
    if ("phone" in found.erasure.record or _is_hashed_text(found)) and not _HMAC.fullmatch(found.name):
        raise PermanentError(
            f"{found.erasure.customer}: expected 64 hex digits. Never a phone number or an address: python -m infra.customer_key "
            "makes the digits of it"
        )
    return found


def _is_hashed_text(customer: Customer) -> bool:
    """Returns whether the name is an HMAC made by the contract, for example of an e-mail address."""
    return any(c.name == customer.erasure.customer and c.privacy == "hmac" for c in customer.contract.columns)


def key_of_phone(phone: str, key: str) -> str:
    """Returns the customer_key of a phone number, as include/sql/clean/purchases.sql makes it: HMAC-SHA256 of its digits."""
    return hmac.new(key.encode(), re.sub("[^0-9]", "", phone).encode(), hashlib.sha256).hexdigest()


def key_of_text(text: str, key: str) -> str:
    """Returns the HMAC of a text as for a column with `privacy: hmac`: of the text without blanks, in lower case."""
    plain = text.strip().translate(_LOWER).replace(" ", "")
    return hmac.new(key.encode(), plain.encode(), hashlib.sha256).hexdigest()


def finder(customer: Customer, settings: Settings) -> Callable[[str], bool]:
    """Returns a function that returns whether a text names the customer."""
    if _is_hashed_text(customer):
        secret = settings.pii_hmac_key.get_secret_value()
        return lambda text: any(key_of_text(w, secret) == customer.name for w in {*_BETWEEN_WORDS.split(text)} if w)
    if "phone" not in customer.erasure.record:
        word = re.compile(rf"(?<![\w.-]){re.escape(customer.name)}(?:[.]0+)?(?![\w.-])")
        return lambda text: bool(word.search(text))
    key = settings.pii_hmac_key.get_secret_value()

    def has_phone(text: str) -> bool:
        runs = _PHONE.findall(text)
        return any(key_of_phone(part, key) == customer.name for run in runs for part in (run, *run.split()))

    return has_phone
