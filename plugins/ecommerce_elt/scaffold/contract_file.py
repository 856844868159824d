"""Writes the contract of a sample, with comments on values that a person should confirm."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from ecommerce_elt.scaffold import words
from ecommerce_elt.scaffold.sample import Sample
from ecommerce_elt.scaffold.values import Found

IDENTITY_MAX = 30  # columns; more of them hardly tell more rows apart
UNIQUE_ROWS = 50  # smallest number of rows in which a column without repetition is taken as unique
REPEATED_SHARE = 0.2  # with more repeated rows, the feed is a log whose values do not tell rows apart
KEYS = (
    "header",
    "type",
    "required",
    "formats",
    "numbers",
    "currency",
    "round",
    "min",
    "max",
    "max_bytes",
    "accepted",
    "missing",
    "privacy",
)


@dataclass
class ContractFile:
    """The text of the file, and its doubts, each with the line and a message."""

    feed: str
    lines: list[str] = field(default_factory=list)
    doubts: list[tuple[int, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def add(self, line: str, *doubts: str) -> None:
        self.lines.append(line + ("   # confirm" if doubts else ""))
        self.doubts += [(len(self.lines), doubt) for doubt in doubts]


@dataclass(frozen=True)
class Roles:
    """The roles of columns in an event.

    Attributes:
        event_time: the column with the time of the event.
        partition_key: the column with the entity whose events stay in order.
        identity: the columns that tell rows apart; empty if file and line do.
        required: the names of columns that each event must have.
        once_an_order: the columns with a value only on the first row of an order.
        doubts: the doubts about each role.
    """

    event_time: Found
    partition_key: Found
    identity: list[Found]
    required: set[str]
    once_an_order: list[Found]
    doubts: dict[str, list[str]]


def order_of(sample: Sample) -> Found | None:
    """Returns the column that has an order number in every row."""
    found = [
        c for c in sample.columns if c.is_full and c.kind == "identifier" and not c.is_personal and names_an_order(c)
    ]
    return max(found, key=names_an_order, default=None)


def roles_of(sample: Sample, repeated: int, once_an_order: list[Found]) -> Roles:
    """Returns the roles of a sample's columns.

    Args:
        sample: the sample.
        repeated: the number of rows that repeat an earlier row in all columns that are not personal.
        once_an_order: the columns with a value only on the first row of an order.
    """
    time = next(column for column in sample.columns if column.header == sample.event_time)
    doubts: dict[str, list[str]] = {"event_time": [], "partition_key": [], "identity": []}
    others = [c for c in sample.columns if c.kind == "timestamp" and c is not time]
    is_whole = time.is_full or time in once_an_order
    if others or not is_whole:
        also = f"; {', '.join(c.name for c in others)} hold times, too" if others else ""
        empty = f"; {time.rows - time.filled:,} rows have none and will be rejected" if not is_whole else ""
        doubts["event_time"].append(f"{time.name} is taken for the time of the event{also}{empty}")
    open_columns = [c for c in sample.columns if not c.is_personal]
    keys = [c for c in open_columns if c.is_full and c.kind == "identifier"]
    key = max(keys, key=_names_an_entity, default=None)
    if key is None:
        key = max((c for c in open_columns if c.is_full and c.kind == "string"), key=lambda c: c.distinct, default=time)
        doubts["partition_key"].append(
            f"no column names what a row is of, such as an order or a product; {key.name} takes its place"
        )
    unique = next((c for c in keys if c.distinct == c.rows and c.rows >= UNIQUE_ROWS and _names_a_row(c, sample)), None)
    identity = [unique] if unique else [c for c in open_columns if c.filled][:IDENTITY_MAX]
    for needed in (key, time):
        if needed not in identity:
            identity.append(needed)
    if not unique and repeated > REPEATED_SHARE * sample.looked_at:
        identity = []
        doubts["identity"].append(
            f"{repeated:,} of {sample.looked_at:,} rows repeat another, so the file and the line tell rows apart"
        )
    elif time.is_personal or key.is_personal:
        identity = []
    elif unique:
        doubts["identity"].append(
            f"no two of {sample.rows:,} rows have the same {unique.name}, so a row that has it again is taken for "
            "the same event"
        )
    else:
        doubts["identity"].append("all values together tell rows apart; leave out what changes later, such as a status")
    numbers = {
        c.name for c in open_columns if c.is_full and c.is_number and c.words & (words.QUANTITIES | words.PRICES)
    }
    return Roles(
        time, key, identity, {time.name, key.name, *numbers}, once_an_order if order_of(sample) is key else [], doubts
    )


def _names_a_row(column: Found, sample: Sample) -> bool:
    """Returns whether the column can be unique: an order number is not, if rows are lines of orders with products."""
    has_products = any(c.words & words.PRODUCTS for c in sample.columns if c is not column)
    return not has_products or bool(column.words & {"line", "lineitem", "row", "position"})


def names_an_order(column: Found) -> int:
    """Returns 2 for a likely order number, 1 for a transaction number, which may be of a line, and 0 otherwise."""
    if column.words & words.PRODUCTS or not column.words & words.ORDERS:
        return 0
    return 1 if column.words & {"transaction", "payment", "charge"} else 2


def _names_an_entity(column: Found) -> tuple[int, bool, int]:
    is_product = bool(column.words & words.PRODUCTS)
    return names_an_order(column), is_product, column.distinct


def singular(feed: str) -> str:
    """Returns the singular of the feed's name, for one row."""
    if feed.endswith("ies") and len(feed) > 4:
        return feed[:-3] + "y"
    return feed[:-1] if feed.endswith("s") and not feed.endswith(("ss", "us", "is")) else feed


def contract_of(feed: str, sample: Sample, roles: Roles, source: str, plays: list[str]) -> ContractFile:
    """Returns the contract's file.

    Args:
        feed: the name of the feed.
        sample: the sample.
        roles: the roles of its columns.
        source: a short description of the sample.
        plays: the lines with the role of the feed in marts.
    """
    made = ContractFile(feed)
    one = singular(feed).replace("_", " ")
    personal = [column for column in sample.columns if column.is_personal]
    made.add(f"feed: {feed}")
    made.add("version: 1")
    made.add(f"grain: one {one}", f"what one row is: taken for one {one}")
    made.add(f"description: Written after a sample, {source}. Comments that say confirm are guesses.")
    made.add(f"event_time: {roles.event_time.name}", *roles.doubts["event_time"])
    made.add(f"partition_key: {roles.partition_key.name}", *roles.doubts["partition_key"])
    if roles.identity:
        made.add(f"identity: [{', '.join(column.name for column in roles.identity)}]", *roles.doubts["identity"])
    else:
        made.add("identity: file", *roles.doubts["identity"])
    made.add(f"staging: staging.{feed}")
    made.add(f"tables: [core.fact_{singular(feed)}]")
    if personal:
        made.add("unknown_keys: quarantine   # one may name a person")
    for line in plays:
        made.add(line)
    if roles.once_an_order:
        names = ", ".join(column.name for column in roles.once_an_order)
        made.add(
            f"fill_down: {{key: {roles.partition_key.name}, columns: [{names}]}}",
            "these columns have a value on the first row of an order alone, and are given to its other rows",
        )
    _add_erasure(made, personal, f"core.fact_{singular(feed)}")
    made.add("columns:")
    for column in sample.columns:
        _add_column(made, column, required=column.name in roles.required)
    return made


def _add_erasure(made: ContractFile, personal: list[Found], fact: str) -> None:
    named = next((column for column in personal if column.settings["privacy"] == "hmac"), None)
    if named is None:
        return
    texts = [column for column in personal if column.kind in {"string", "identifier"}]
    record = {c.name: "erased" if c in texts else '""' for c in personal}
    row = {
        c.name: "e***" if c.settings["privacy"] == "mask" else "erased"
        for c in texts
        if c.settings["privacy"] != "drop"
    }
    made.add("erasure:")
    made.add(
        f"  customer: {named.name}",
        f"{named.name} is taken for what names a customer, by which erase_customer finds the rows",
    )
    made.add(f"  record: {{{', '.join(f'{name}: {value}' for name, value in record.items())}}}")
    made.add(f"  row: {{{', '.join(f'{name}: {_scalar(value)}' for name, value in row.items())}}}")
    made.add(f"  tables: [{fact}]")


def _add_column(made: ContractFile, column: Found, *, required: bool) -> None:
    made.add(f"  - name: {column.name}")
    settings = {"header": column.header, "required": required, **column.settings}
    by_key = {
        "privacy": [d for d in column.doubts if "privacy" in d],
        "accepted": [d for d in column.doubts if "`accepted`" in d],
        "missing": [d for d in column.doubts if "no value, such" in d],
    }
    by_key["type"] = [d for d in column.doubts if not any(d in doubts for doubts in by_key.values())]
    if "privacy" not in settings:
        by_key["type"] += by_key.pop("privacy")
    for key in KEYS:
        if key not in settings or settings[key] is False:
            continue
        value = settings[key]
        if key == "accepted" and not any(value.values()):
            value = list(value)
        text = {"required": "true"}.get(key) or (str(value) if key in {"type", "privacy", "round"} else _scalar(value))
        made.add(f"    {key}: {text}", *(f"{column.name}: {doubt}" for doubt in by_key.get(key, ())))


def _scalar(value: Any) -> str:
    """Returns a value as YAML on one line. A JSON string is also a YAML string."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_scalar(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    if (
        isinstance(value, str)
        and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_/. ]*[A-Za-z0-9_]", value)
        and not _is_word_of_yaml(value)
    ):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_word_of_yaml(text: str) -> bool:
    return text.lower() in {"true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"}
