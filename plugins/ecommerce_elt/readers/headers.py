"""Matches the header of a file to the columns of a contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract, normalise_header
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.open_questions import NAMES_SHOWN, NOT_SHOWN, OpenQuestionError
from ecommerce_elt.settings import FileLimits

SHOWN_MAX = 60  # characters of a name in a message
HEADER_ROWS = 50  # first rows in which the header is searched


class Candidate(NamedTuple):
    """A row that may be the header: its line or row, the required columns that it lacks, and its values."""

    at: int
    missing: list[str]
    header: list[str]

    def or_closer(self, other: Candidate | None) -> Candidate:
        """Returns the other one, which was found before, unless this one lacks fewer columns."""
        return self if other is None or len(self.missing) < len(other.missing) else other


class Headers:
    """Matches headers of one file to the contract of its feed.

    Args:
        name: the name of the file, for messages.
        contract: the contract of the feed.
        flags: with the headers of columns that the contract does not know.
        limits: with the largest number of columns.
        other: the flag with which the user may choose another header: "delimiter" or "sheet"; empty if there is none.
    """

    def __init__(self, name: str, contract: Contract, flags: Flags, limits: FileLimits, other: str) -> None:
        self.name, self.contract, self.flags, self.limits, self.other = name, contract, flags, limits, other
        self.time_key = contract.column(contract.event_time).header

    def key(self, header: str) -> str:
        """Returns the key under which records store the column with this header."""
        clean = header.strip().lstrip("\ufeff")
        for key, name in self.flags.columns.items():
            if normalise_header(name) == normalise_header(clean):
                return key
        column = self.contract.headers.get(normalise_header(clean))
        return column.header if column and column.header not in self.flags.columns else clean

    def keys(self, header: Sequence[Any]) -> tuple[str, ...]:
        """Returns the key of each column.

        Raises:
            PermanentError: there are too many columns.
            OpenQuestionError: a required column is missing.
        """
        self.check_number(header)
        if missing := self.missing([str(name) for name in header]):
            raise self.no_column(f"{self.name}:", missing, header)
        return tuple(self.key(str(name)) for name in header)

    def time_at(self, keys: Sequence[str]) -> int | None:
        """Returns the position of the column with the event's time, if there is one."""
        return keys.index(self.time_key) if self.time_key in keys else None

    def missing(self, header: Sequence[str]) -> list[str]:
        """Returns the required columns that the header lacks."""
        keys = set(map(self.key, header))
        return [c.header for c in self.contract.columns if c.required and c.header not in keys]

    def check_number(self, header: Sequence[Any]) -> None:
        if len(header) > self.limits.columns:
            raise PermanentError(
                f"{self.name}: has {len(header):,} columns, and {self.limits.columns:,} are allowed. Is it one record "
                "a row? If it is, raise ECOMMERCE_FILE_COLUMNS"
            )

    def check_doubled(self, keys: Sequence[str], header: Sequence[Any]) -> None:
        if len(set(keys)) < len(keys):
            doubled = sorted(key for key, count in Counter(keys).items() if count > 1)
            raise OpenQuestionError(
                f"{self.name}: two columns are read as {', '.join(doubled)}; {self._shown(header)}. Say which one with ",
                [{"columns": {doubled[0]: "HEADER OF THE FILE"}}],
            )

    def no_column(self, what: str, missing: list[str], header: Sequence[Any]) -> OpenQuestionError:
        """Returns the error for a header without required columns.

        Args:
            what: what has this header.
            missing: the columns that it lacks.
            header: the header.
        """
        answers: list[dict[str, Any]] = [{"columns": {missing[0]: "HEADER OF THE FILE"}}]
        return OpenQuestionError(
            f"{what} has no column {', '.join(missing)} of feed {self.contract.feed}; {self._shown(header)}. Say it with ",
            [*answers, {self.other: ""}] if self.other else answers,
        )

    def _shown(self, header: Sequence[Any]) -> str:
        """Returns the header for a message: only known names for a personal feed, none if it may be a row of data."""
        names = [str(name)[:SHOWN_MAX] for name in header]
        is_known = [normalise_header(self.key(name)) in self.contract.headers for name in names]
        known = sum(is_known)
        if known * 2 < len(names):  # a single value can equal a column name, such as a product "Phone"
            return f"{known} of its {len(names)} fields are names that the feed knows: is it a header?"
        if self.contract.is_personal:
            keys = [self.key(name) for name, is_one in zip(names, is_known, strict=True) if is_one]
            others = [str(number) for number, is_one in enumerate(is_known, 1) if not is_one]
            return (
                f"the header has {', '.join(keys)}; fields {', '.join(others) or 'none'} have other names. {NOT_SHOWN}"
            )
        return f"the header is {names[:NAMES_SHOWN]}" + (" and so on" if len(names) > NAMES_SHOWN else "")
