"""Detects columns with personal data by their headers, in the languages of words.yaml, and by their values."""

from __future__ import annotations

import ipaddress
import re

from ecommerce_elt.readers.dates import is_time
from ecommerce_elt.scaffold import words
from ecommerce_elt.scaffold.values import Found, Values

CARDS_MIN = 10  # distinct numbers with a valid checksum; one in ten has it by chance
OBJECTS_LOOKED_AT = 200
MOST = 0.8  # share of the values
TEXTS = {"string", "identifier"}

_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"\+[0-9][0-9 ()./-]{6,18}[0-9]|\(?[0-9]{2,5}\)?[ /.-][0-9 ()./-]{5,14}[0-9]")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2} ?([A-Z0-9]{4} ?){2,7}[A-Z0-9]{1,4}")
_CARD = re.compile(r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}|[0-9]{4}[ -]?[0-9]{6}[ -]?[0-9]{5}")
_NAME = re.compile(r"[^\W\d_][\w'’.-]+(,? [^\W\d_][\w'’.-]*){1,3}")
_KEY = re.compile(r'"([^"\\]{1,64})"\s*:')


def mark_personal(values: Values, made: Found) -> None:
    """Sets the `privacy` of a column that looks personal, or adds a doubt to a column that may be."""
    said = _of_the_values(values, made) or _of_the_header(values, made)
    if said is None:
        _doubt(values, made)
        return
    privacy, why = said
    settings = made.settings
    if privacy != "drop" and settings["type"] in {"integer", "bigint"}:  # such as a phone number
        settings = {"type": "identifier", "max_bytes": values.width()}
    elif privacy != "drop" and settings["type"] not in TEXTS:
        privacy = "drop"
    settings.pop("accepted", None)
    if settings["type"] in TEXTS:
        settings.setdefault("max_bytes", values.width())
    made.settings = {**settings, "privacy": privacy}
    made.doubts.append(f"looks personal ({why}), so privacy is {privacy}")


def _of_the_values(values: Values, made: Found) -> tuple[str, str] | None:
    if values.share(_EMAIL.fullmatch) > 0.3:
        return "hmac", "e-mail addresses"
    if values.share(_is_address_of_the_net) > MOST:
        return "drop", "addresses of the net"
    is_thing = made.words & {"ean", "gtin", "upc", "sku"}
    if values.share(_IBAN.fullmatch) > MOST or (
        values.share(_is_card) > 0.95 and made.distinct >= CARDS_MIN and not is_thing
    ):
        return "drop", "numbers of cards or accounts"
    if made.kind == "string" and values.share(lambda text: bool(_PHONE.fullmatch(text)) and not is_time(text)) > MOST:
        return "hmac", "values like phone numbers"
    if _keys_of_objects(values) & (
        words.EMAIL | words.PHONE | words.ADDRESS | words.BIRTH | words.LOGIN | (words.PERSON - words.NAME)
    ):
        return "drop", "objects with keys of people"
    return None


def _of_the_header(values: Values, made: Found) -> tuple[str, str] | None:
    has, kind = made.words, made.kind
    if has & words.EMAIL and kind == "string" and not has & {"accepts", "marketing", "status", "consent"}:
        return "hmac", "e-mail addresses"
    if "ip" in has and kind in TEXTS:
        return "drop", "addresses of the net"
    if has & words.SECRET:
        return "drop", "numbers of cards, accounts or papers"
    if has & words.BIRTH:
        return "drop", "days of birth"
    if kind in {"timestamp", "boolean"} or kind.startswith("decimal"):
        return None
    if has & words.PHONE and not has & {"type", "brand", "model"}:
        return "hmac", "phone numbers"
    if has & words.ADDRESS:
        return "drop", "postal addresses"
    if has & words.POSTCODE:
        return "mask", "postcodes"
    if has & words.LOGIN:
        return "hmac", "names of users or devices"
    is_named = kind == "string" and values.share(_may_be_named) > MOST and not has & words.NOT_PERSON
    if is_named and (has & (words.PERSON - words.NAME) or (has & words.NAME and values.share(_NAME.fullmatch) > 0.5)):
        return "drop", "names of people"
    return None


def _doubt(values: Values, made: Found) -> None:
    has = made.words
    if has & words.FREE_TEXT:
        made.doubts.append("is free text, in which people may be named: privacy: drop leaves it out")
    elif has & words.PLACE:
        made.doubts.append("is a place: beside other columns it may tell who somebody is; privacy: mask or drop")
    elif (
        made.kind == "string"
        and values.share(_NAME.fullmatch) > MOST
        and made.distinct > 0.2 * made.filled
        and not has & (words.PRODUCTS | words.NOT_PERSON)
    ):
        made.doubts.append("may hold names of people: add privacy: drop if it does")


def _keys_of_objects(values: Values) -> frozenset[str]:
    """Returns the words of the keys in lists and objects, which are kept as JSON text."""
    found: frozenset[str] = frozenset()
    for text in list(values.counts)[:OBJECTS_LOOKED_AT]:
        for key in _KEY.findall(text) if text[:1] in "{[" else ():
            found |= words.words_of(key)
    return found


def _is_card(text: str) -> bool:
    """Returns whether the digits form a payment card number: ISO/IEC 7812, with a Luhn checksum as the last digit."""
    if not _CARD.fullmatch(text):
        return False
    digits = [int(c) for c in text if c.isdigit()][::-1]
    doubled = (d * 2 - 9 * (d > 4) for d in digits[1::2])
    return 14 <= len(digits) <= 19 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _may_be_named(text: str) -> bool:
    return any(c.isalpha() for c in text) and (" " in text or not any(c.isdigit() for c in text))


def _is_address_of_the_net(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return not text.isdigit()
