"""Contracts, which define the events of a feed.

A contract is a YAML file in `include/feeds/`. It is the only definition of a feed's columns, types, limits, header
spellings and personal data. The cleaning step, the producer and the tests all read it through this module.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from yaml import CSafeLoader

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.dialects import rewrites
from ecommerce_elt.feeds.roles import FillDown, Plays, Sale

NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
TABLE = re.compile(r"^[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}$")
TYPE = re.compile(r"^(string|identifier|integer|bigint|boolean|timestamp|decimal\((\d{1,2}),(\d{1,2})\))$")

# Names that the typing, the load and the lake use for other columns.
TAKEN = {
    "event_id",
    "event_version",
    "schema_version",
    "extra",
    "source_object",
    "source_line",
    "reasons",
    "copy_number",
    "rejected_version",
    "dt",
}
TEXTS, NUMBERS = {"string", "identifier"}, {"integer", "bigint", "decimal"}
# Keys of a column, and the types for which they are allowed.
FITTING = {
    "min": NUMBERS,
    "max": NUMBERS,
    "numbers": NUMBERS,
    "currency": {"decimal"},
    "round": {"decimal"},
    "max_bytes": TEXTS,
    "pattern": TEXTS,
    "accepted": {"string"},
    "formats": {"timestamp"},
}
# Words that databases, pandas and spreadsheets write for a missing value.
MISSING = ("NULL", "NaN", "NaT", "N/A", "#N/A", "<NA>", "None", "nil", "-", "--", "\\N")


def normalise_header(header: str) -> str:
    """Returns the form in which headers are compared: in lower case, with only letters and digits of any script."""
    plain = unicodedata.normalize("NFKC", header).casefold()
    return re.sub(r"[\W_]", "", plain) or plain.strip()  # "#" is a valid header


def _decimal(kind: str) -> tuple[int, int] | None:
    found = TYPE.match(kind)
    return (int(found[2]), int(found[3])) if found and found[2] else None


class Column(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME.pattern)
    header: str = Field(min_length=1, description="The key in the record as producers write it.")
    aliases: tuple[str, ...] = ()
    type: str = Field(pattern=TYPE.pattern)
    required: bool = False
    min: int | None = None
    max: int | None = None
    max_bytes: int | None = Field(default=None, ge=1, le=65535)
    pattern: str | None = None
    accepted: dict[str, tuple[str, ...]] | None = Field(
        default=None, description="The words that are taken, each with other spellings of it; a list has none of these."
    )
    formats: tuple[str, ...] = Field(
        default=(), description="Of times beside ISO 8601: M/D/YYYY H:MM, D.M.YYYY, ..., epoch_seconds, epoch_millis."
    )
    numbers: tuple[Literal["thousands", "decimal_comma", "accounting"], ...] = Field(
        default=(), description="What a number may be written with: 1,234.50; 1.234,50; (5) and 5- for -5."
    )
    currency: tuple[str, ...] = Field(
        default=(), description="Signs and codes of the column's one currency that may stand before or behind a number."
    )
    round: Literal["half_even"] | None = Field(
        default=None, description="How a number with more decimals than the type has is rounded; else it is rejected."
    )
    missing: tuple[str, ...] | None = Field(
        default=None, description="Words that say there is no value, in place of the contract's."
    )
    privacy: Literal["keep", "drop", "mask", "hmac"] = "keep"
    description: str = ""

    @field_validator("accepted", mode="before")
    @classmethod
    def _words_without_other_spellings(cls, value: object) -> object:
        return dict.fromkeys(value, ()) if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _limits_fit_the_type(self) -> Column:
        kind = "decimal" if self.decimal else self.type
        wrong = [key for key, kinds in FITTING.items() if getattr(self, key) not in (None, ()) and kind not in kinds]
        if wrong:
            raise ValueError(f"column {self.name}: {', '.join(wrong)} cannot be said of the type {self.type}")
        if "decimal_comma" in self.numbers and not self.decimal:
            raise ValueError(f"column {self.name}: decimal_comma is for decimals, the type is {self.type}")
        if self.round and self.decimal and not self.decimal[1]:
            raise ValueError(f"column {self.name}: round is for decimals that have a scale, the type is {self.type}")
        if kind in TEXTS and self.max_bytes is None and self.accepted is None:
            raise ValueError(f"column {self.name}: {self.type} needs max_bytes, because a VARCHAR has a length")
        if self.pattern is not None:
            re.compile(self.pattern)
        spellings = [word for words in (self.accepted or {}).values() for word in words]
        if doubled := sorted({w for w in spellings if spellings.count(w) > 1 or w in (self.accepted or {})}):
            raise ValueError(f"column {self.name}: accepted: {', '.join(doubled)} stands for two words")
        if wrong := [key for key in self.headers if '"' in key or key in {"", "*"}]:
            raise ValueError(
                f"column {self.name}: header {wrong[0]!r}: no engine can look for such a key in a record. Leave the "
                "quotes out: headers of files are compared by letters and digits alone"
            )
        rewrites(self)
        return self

    @property
    def headers(self) -> tuple[str, ...]:
        """All spellings of the key, the preferred one first."""
        return (self.header, *self.aliases)

    @property
    def decimal(self) -> tuple[int, int] | None:
        """(precision, scale) of a decimal column, else None."""
        return _decimal(self.type)


class Derived(BaseModel):
    """A column that the feed's own clean SQL creates. It replaces a column of the contract with the same name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME.pattern)
    type: str = Field(pattern=TYPE.pattern)
    required: bool = Field(default=False, description="Whether the clean SQL gives every event a value.")
    max_bytes: int | None = Field(default=None, ge=1, le=65535)
    default: int | None = Field(default=None, description="Of rows that core had before the column.")
    description: str = ""

    @model_validator(mode="after")
    def _has_a_length(self) -> Derived:
        if self.type in TEXTS and self.max_bytes is None:
            raise ValueError(f"column {self.name}: {self.type} needs max_bytes, because a VARCHAR has a length")
        return self

    @property
    def decimal(self) -> tuple[int, int] | None:
        """(precision, scale) of a decimal column, else None."""
        return _decimal(self.type)


class Erasure(BaseModel):
    """The values that erase one customer from a feed while the events stay.

    A test checks that `record` and `row` agree.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: str = Field(pattern=NAME.pattern, description="The column of clean and core that names the customer.")
    record: dict[str, str] = Field(min_length=1, description="Column to what raw/ gets in its place.")
    row: dict[str, str | None] = Field(min_length=1, description="Column of clean to what it has after that.")
    tables: tuple[str, ...] = Field(min_length=1, description="Those with the customer; each has an erase.sql.")


class QuarantineAlert(BaseModel):
    """The thresholds for an alert about rejected events.

    An alert is due for `events` rejected events in a batch, or for more than a `share` of a batch with at least
    `share_of_at_least` events.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: int = Field(default=1000, ge=1)
    share: float = Field(default=0.1, gt=0, le=1)
    share_of_at_least: int = Field(default=20, ge=1)

    def is_due(self, accepted: int, quarantined: int) -> bool:
        return quarantined >= self.events or (
            accepted >= self.share_of_at_least and quarantined > self.share * accepted
        )


class Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    feed: str = Field(pattern=NAME.pattern)
    version: int = Field(ge=1)
    grain: str
    description: str = ""
    event_time: str = Field(description="The column whose value is the envelope's event_time.")
    partition_key: str = Field(description="The column that names the entity whose events stay in order.")
    staging: str = Field(pattern=TABLE.pattern)
    tables: tuple[str, ...] = Field(min_length=1, description="Core tables, the one of the events first.")
    columns: tuple[Column, ...] = Field(min_length=1)
    derived: tuple[Derived, ...] = Field(
        default=(), description="What the feed's own clean SQL selects beside columns that it passes on as they are."
    )
    distkey: str | None = Field(
        default=None,
        description="The column of core by which Redshift spreads the rows; else the partition_key, where core has it.",
    )
    missing: tuple[str, ...] = Field(
        default=MISSING,
        description="Words that say there is no value: as written here, in lower case, in capitals, and with one.",
    )
    dialects_since: int = Field(
        default=1,
        ge=1,
        description="Events of an earlier schema_version are read as they were before there were dialects: plain values alone.",
    )
    identity: tuple[str, ...] | Literal["file"] = Field(
        default="file",
        description="What tells the rows of files apart: the values of these columns; or file, the file and the line.",
    )
    dropped: tuple[str, ...] = Field(default=(), description="Keys of earlier versions that are read no more.")
    unknown_keys: Literal["keep", "quarantine"] = Field(
        default="keep",
        description="What becomes of keys that are neither a column's nor dropped: kept in `extra`, or rejected.",
    )
    plays: Plays = Field(default=Plays(), description="The parts that the feed's columns play in the marts.")
    fill_down: FillDown | None = Field(default=None, description="What files write on an order's first row alone.")
    quoting: Literal["csv", "none"] = Field(
        default="csv",
        description='What " is in delimited text: csv, it encloses a value (RFC 4180); none, a character as any other.',
    )
    max_silence_minutes: int | None = Field(default=None, ge=1, description="Nothing for longer is a difference.")
    quarantine_alert: QuarantineAlert = QuarantineAlert()
    erasure: Erasure | None = Field(default=None, description="None where no event is of a person.")

    @model_validator(mode="after")
    def _names_agree(self) -> Contract:
        names = [c.name for c in self.columns]
        if doubled := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"columns defined twice: {sorted(doubled)}")
        if taken := [
            n
            for n in names
            if n in TAKEN or (n == "event_time" and n != self.event_time) or n.removeprefix("raw_") in {*names} - {n}
        ]:
            raise ValueError(
                f"columns {taken}: every event has something else of that name. Choose another name; the header stays"
            )
        for role in ("event_time", "partition_key"):
            if getattr(self, role) not in names:
                raise ValueError(f"{role} is {getattr(self, role)!r}, which is no column; columns are {names}")
        if self.column(self.event_time).type != "timestamp":
            raise ValueError(f"event_time is {self.event_time!r}, whose type is not timestamp")
        if self.identity != "file":
            if wrong := [n for n in self.identity if n not in names or self.identity.count(n) > 1]:
                raise ValueError(f"identity: {wrong} are no columns, or named twice; columns are {names}")
            if missing := [n for n in (self.event_time, self.partition_key) if n not in self.identity]:
                raise ValueError(
                    f"identity: {missing} are missing: what core has of a row is looked for by its time and entity"
                )
            if personal := [n for n in self.identity if self.column(n).privacy != "keep"]:
                raise ValueError(
                    f"identity: {personal} are personal, and an id without a key can be tried out for a person. "
                    "Write identity: file"
                )
        if self.erasure and (unknown := [name for name in self.erasure.record if name not in names]):
            raise ValueError(f"erasure.record: {unknown} are no columns; columns are {names}")
        if self.erasure and self.erasure.customer not in self.erasure.row:
            raise ValueError(f"erasure.row: says nothing of {self.erasure.customer}, which names the customer")
        if personal := [c.name for c in self.columns if c.privacy != "keep" and self.unknown_keys == "keep"]:
            raise ValueError(
                f"unknown_keys is keep, and {personal} are personal: where a record is of a person, a key that "
                "nobody knows may name that person, too. Write unknown_keys: quarantine"
            )
        if self.erasure and self.unknown_keys == "keep" and self.erasure.row.get("extra", "") is not None:
            raise ValueError("erasure.row: unknown keys are kept in extra and may name the customer; write extra: null")
        if both := sorted({*self.dropped} & {h for c in self.columns for h in c.headers}):
            raise ValueError(f"dropped: {both} are still read by a column")
        if isinstance(self.plays.sale, Sale):
            self.plays.sale.check({c.name: c for c in self.columns} | {c.name: c for c in self.derived})
        if self.fill_down:
            self.fill_down.check(names)
        for table in (*self.tables, *(self.erasure.tables if self.erasure else ())):
            if not TABLE.match(table):
                raise ValueError(f"tables: {table!r} is not written schema.table in lower case")
        return self

    def missing_words(self, column: Column) -> tuple[str, ...]:
        """Returns the words for a missing value of the column, in all the cases in which they may be written."""
        words = self.missing if column.missing is None else column.missing
        return tuple(dict.fromkeys(form for w in words for form in (w, w.lower(), w.upper(), w.capitalize())))

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)

    @property
    def is_personal(self) -> bool:
        """Whether an event may name a person. No message shows a value of such a feed."""
        return any(column.privacy != "keep" for column in self.columns)

    @cached_property
    def known_keys(self) -> tuple[str, ...]:
        """The keys of a record that the contract knows: the columns' headers, then other spellings and dropped keys."""
        spellings = (h for c in self.columns for h in c.headers)
        return tuple(dict.fromkeys([*(c.header for c in self.columns), *spellings, *self.dropped]))

    @cached_property
    def headers(self) -> dict[str, Column]:
        """The columns by normalized header. Preferred spellings take precedence over aliases."""
        found: dict[str, Column] = {}
        for column in self.columns:
            found.setdefault(normalise_header(column.header), column)
        for column in self.columns:
            for alias in (column.name, *column.aliases):
                found.setdefault(normalise_header(alias), column)
        return found


def load_contract(path: Path) -> Contract:
    """Returns the contract in the YAML file `path`. It is cached until the file changes.

    Raises:
        PermanentError: the file is not a valid contract; the message names the file and each wrong key.
    """
    state = path.stat()
    return _read_contract(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)
def _read_contract(path: Path, changed_ns: int, size: int) -> Contract:
    try:
        contract = Contract.model_validate(yaml.load(path.read_text("utf-8"), CSafeLoader))
    except yaml.YAMLError as error:
        raise PermanentError(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'contract'}: {e['msg']}" for e in error.errors())
        raise PermanentError(f"{path}: {wrong}") from error
    if contract.feed != path.stem:
        raise PermanentError(f"{path}: feed is {contract.feed!r}; the file of a feed is named after it")
    return contract


def load_contracts(directory: Path) -> dict[str, Contract]:
    """Returns the contracts of all YAML files in `directory` by feed, ordered by name."""
    return {path.stem: load_contract(path) for path in sorted(directory.glob("*.yaml"))}
