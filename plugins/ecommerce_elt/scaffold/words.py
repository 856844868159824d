"""The meaning of headers in the languages in which shops export: times, identifiers, money, and people.

A header is compared by its words: `Bestell-Nr.` is {bestell, nr}, `Billing Address1` is {billing, address1}. The words
are in words.yaml beside this file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from slugify import slugify  # comes with Airflow

from ecommerce_elt.feeds.contracts import TAKEN

_ALL: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))


def _words(key: str) -> frozenset[str]:
    return frozenset(_ALL[key].split())


EVENT = _words("event")
NOT_EVENT = _words("not_event")
TIMES = _words("times")
IDENTIFIERS = _words("identifiers")
ORDERS = _words("orders")
PRODUCTS = _words("products")
QUANTITIES = _words("quantities")
PRICES = _words("prices")
MONEY = PRICES | _words("money")
CATEGORIES = _words("categories")
FREE_TEXT = _words("free_text")
EMAIL = _words("email")
PHONE = _words("phone")
PERSON = _words("person")
NAME = _words("name")
NOT_PERSON = _words("not_person")
ADDRESS = _words("address")
POSTCODE = _words("postcode")
PLACE = _words("place")
SECRET = _words("secret")
BIRTH = _words("birth")
LOGIN = _words("login")
CUSTOMERS, COUNTRIES, CURRENCIES = _words("customers"), _words("countries"), _words("currencies")
OF_THE_ORDER, TITLES = _words("of_the_order"), _words("titles")
UNKNOWN_VALUES = frozenset(_ALL["unknown_values"])
# Other scripts have no blanks between words, or no letters allowed in column names. Their headers are matched by
# substrings.
OTHER_SCRIPTS = {part: word for word, parts in _ALL["other_scripts"].items() for part in parts}
_ENDS_IN_ID = re.compile(r"[a-z]{3,}(?:nummer|nr|number|code|kennung|numero|id)")
_YAML = {"yes", "on", "off", "y", "n"}  # words that are not texts in YAML
_NO_ID = _words("not_ids")
_UMLAUTS = [["ä", "ae"], ["ö", "oe"], ["ü", "ue"], ["Ä", "Ae"], ["Ö", "Oe"], ["Ü", "Ue"], ["£", "gbp"]]


def as_name(header: str) -> str:
    """Returns the header as a column name: lower case, ASCII, with underscores between words."""
    text = unicodedata.normalize("NFKC", header).replace("#", " number ")
    apart = re.sub(r"(?<=[a-zß-ÿ])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})", " ", text)
    name = slugify(apart, separator="_", replacements=_UMLAUTS)
    name = name or {"%": "percent", "€": "euro", "$": "dollar"}.get(text.strip(), "column")
    return ("n_" + name if name[0].isdigit() else name)[:56].rstrip("_")


def as_names(headers: Iterable[str], event_time: str | None = None) -> dict[str, str]:
    """Returns a unique column name for each header. Words reserved by SQL, YAML or events get the suffix `_field`.

    Args:
        headers: the headers.
        event_time: the header that may get the name event_time.
    """
    from ecommerce_elt.feeds.feed_sql import reserved_words

    names: dict[str, str] = {}
    for header in headers:
        name = as_name(header)
        name = "number" if name == "no" else name
        if name in reserved_words() | TAKEN | _YAML or (name == "event_time" and header != event_time):
            name += "_field"
        plain, number = name, 2
        while name in names.values() or any(n in (f"raw_{name}", name.removeprefix("raw_")) for n in names.values()):
            name, number = f"{plain}_{number}", number + 1
        names[header] = name
    return names


def words_of(header: str) -> frozenset[str]:
    """Returns the words of a header, including the whole header as one word."""
    name = as_name(header)
    found = {*name.split("_"), name.replace("_", "")}
    found |= {
        part
        for word in found
        if word.endswith("id") and len(word) > 4 and word not in _NO_ID
        for part in (word[:-2], "id")
    }
    text = unicodedata.normalize("NFKC", header).casefold()
    return frozenset(found | {word for part, word in OTHER_SCRIPTS.items() if part in text})


def names_something(header: str) -> bool:
    """Returns whether a header indicates identifiers: an order number, a code, a key."""
    parts = as_name(header).split("_")
    ends_so = bool(_ENDS_IN_ID.fullmatch(parts[-1])) and parts[-1] not in _NO_ID
    begins_so = parts[0] in {"id", "ref", "reference", "code", "sku", "no", "nr", "num", "numero"} and len(parts) > 1
    return parts[-1] in IDENTIFIERS or ends_so or begins_so or ("number" in words_of(header) and not header.isascii())
