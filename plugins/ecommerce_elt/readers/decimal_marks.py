"""Detects whether a file uses a decimal point or a decimal comma. The values of a column decide; nothing is guessed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from ecommerce_elt.readers.open_questions import OpenQuestionError

Mark = Literal["comma", "point"]
ANSWERS = [{"decimal_comma": True}, {"decimal_comma": False}]
NUMBER_MAX = 256  # characters of a text with a number; longer ones would fill the caches

_NUMBER = re.compile(r"[0-9.,]*[0-9][0-9.,]*")
_BY_POINT = re.compile(r"[0-9]{1,3}(,[0-9]{3})+[.][0-9]*|[0-9]{1,3}(,[0-9]{3}){2,}|[0-9]*[.][0-9]*")
_BY_COMMA = re.compile(r"[0-9]{1,3}([.][0-9]{3})+,[0-9]*|[0-9]{1,3}([.][0-9]{3}){2,}|[0-9]*,[0-9]*")
_OPEN = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")  # 1,234 and 1.234: either thousands or three decimals


@lru_cache(maxsize=1 << 16)
def mark_of(text: str) -> Mark | Literal["open"] | None:
    """Returns the decimal mark that the text proves, "open" if its comma is ambiguous, and None otherwise."""
    found = _NUMBER.search(text)
    if not found or not {",", "."} & set(found[0]):
        return None
    if _OPEN.fullmatch(found[0]):
        return "open" if "," in found[0] else None  # without contrary evidence, a point is a decimal point
    return "point" if _BY_POINT.fullmatch(found[0]) else "comma" if _BY_COMMA.fullmatch(found[0]) else None


def with_point(text: str, mark: Mark) -> str:
    """Returns the text with its number rewritten to use a decimal point only; `mark` is the mark of its column."""
    return _with_point(text, mark) if len(text) <= NUMBER_MAX else text


@lru_cache(maxsize=1 << 16)
def _with_point(text: str, mark: Mark) -> str:
    found = _NUMBER.search(text)
    if not found:
        return text
    if mark == "comma" and (mark_of(text) == "comma" or _OPEN.fullmatch(found[0])):
        number = found[0].replace(".", "").replace(",", ".")
    elif mark == "point" and mark_of(text) in {"point", "open"}:
        number = found[0].replace(",", "")
    else:
        return text
    return text[: found.start()] + number + text[found.end() :]


@dataclass
class MarkEvidence:
    """Collects the evidence for the decimal mark of one column.

    Args:
        column: the name of the column, for messages.
        is_shown: whether a message may quote a value.
    """

    column: str
    is_shown: bool
    values: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, lines: Sequence[int], column: Sequence[object], counts: Sequence[int] | None = None) -> None:
        """Adds some of the column's values. What is no text, or a longer one than a number, is no evidence.

        Args:
            lines: the line of each value.
            column: the values.
            counts: how often each value occurs; None if `column` repeats each value as often as it occurs.
        """
        counted = Counter(column).items() if counts is None else zip(column, counts, strict=True)
        for text, count in counted:
            if not isinstance(text, str) or len(text) > NUMBER_MAX:
                continue
            for mark in (mark_of(text), "with_comma" if "," in text else None):
                if mark:
                    self.values[mark] += count
                    if mark not in self.first:
                        self.first[mark] = (lines[column.index(text)], text)

    def mark(self) -> Mark:
        """Returns the column's decimal mark.

        Raises:
            OpenQuestionError: the values prove both marks, or all their commas are ambiguous. The message names the
                line and the option.
        """
        if self.values["comma"] and self.values["point"]:
            raise OpenQuestionError(
                f"column {self.column}: {self.values['comma']:,} numbers have a decimal comma, first {self.at('comma')}, and "
                f"{self.values['point']:,} a decimal point, first {self.at('point')}. Pass ",
                ANSWERS,
                "; what only the other can be is read by itself, and quarantined where that is not possible",
            )
        if self.values["open"] and not (self.values["comma"] or self.values["point"]):
            raise OpenQuestionError(
                f"column {self.column}: the comma of {self.values['open']:,} numbers may be a thousands mark or a decimal mark, "
                f"first {self.at('open')}, and no other number decides it. Pass ",
                ANSWERS,
            )
        return "comma" if self.values["comma"] else "point"

    def at(self, mark: str) -> str:
        """Returns the place of the first value with this evidence, for a message."""
        line, text = self.first[mark]
        return f"line {line} ({text!r})" if self.is_shown else f"line {line}"
