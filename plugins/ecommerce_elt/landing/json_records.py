"""JSON: one object a line, or over several lines, or one array of them. A record keeps its values as they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import FileLimits

PLAIN_DIGITS = 18  # an integer of more may not fit into 64 bits
TORN_CHARS = 64  # before the end of what is read so far, an error may only mean that the rest is missing


def _integer(text: str) -> Any:
    return int(text) if len(text) <= PLAIN_DIGITS else orjson.Fragment(text)


# Numbers are written again digit by digit as they were. NaN and Infinity are no JSON, and Python and pandas write them: they
# become the texts, which mean that a value is missing.
_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=orjson.Fragment, parse_constant=str)
_BLANKS = {"": re.compile(r"[ \t\r\n]*"), ",": re.compile(r"[ \t\r\n,]*"), "\ufeff": re.compile(r"[ \t\r\n\ufeff]*")}


class JsonRecords:
    """Objects that follow each other, one a line or over several, or that are in one array.

    Args:
        texts: the file, in pieces.
        name: of the file, for messages.
    """

    def __init__(self, texts: Iterator[str], name: object, limits: FileLimits) -> None:
        self.texts, self.name, self.limits = texts, name, limits
        self.text, self.at, self.line = "", 0, 1
        self.is_array = False

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the objects: of an array with their number in it, else with the line on which each begins; both from 1.

        Raises:
            PermanentError: something is no object, or is larger than a row may be; names the place, and no value.
        """
        number = 0
        self._skip("\ufeff")
        self.is_array = self._skip() == "["
        self.at += self.is_array
        while (mark := self._skip(",")) and not (self.is_array and mark == "]"):
            number += 1
            place = number if self.is_array else self.line
            yield place, self._next(place)
        if not self.is_array:
            return
        if mark != "]":
            raise PermanentError(
                f"{self.name}: the array does not end: the file is torn. Copy it anew from where it came"
            )
        self.at += 1
        if self._skip():
            raise PermanentError(
                f"{self.name}: line {self.line}: something follows the array; one array, or one object a line is read"
            )

    def _more(self) -> bool:
        more = next(self.texts, "")
        self.text, self.at = self.text[self.at :] + more, 0
        return bool(more)

    def _skip(self, also: str = "") -> str:
        """Goes on to what is no blank, and returns its first character: none at the end."""
        blanks = _BLANKS[also]
        while True:
            found = blanks.match(self.text, self.at)
            rest = found.end() if found else self.at
            self.line += self.text.count("\n", self.at, rest)
            self.at = rest
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def _next(self, place: int) -> dict[str, Any]:
        where = f"{self.name}: {'record' if self.is_array else 'line'} {place}"
        while True:
            try:
                record, end = _DECODER.raw_decode(self.text, self.at)
                break
            except RecursionError:
                raise PermanentError(f"{where}: is nested too deeply") from None
            except json.JSONDecodeError as error:
                is_torn = error.pos > len(self.text) - TORN_CHARS or error.msg.startswith("Unterminated string")
                if len(self.text) - self.at > self.limits.row_bytes:
                    raise too_long(where, self.limits) from None
                if not is_torn or not self._more():
                    raise PermanentError(
                        f"{where}: no JSON at its character {error.pos - self.at + 1}: {error.msg}. Is the file torn, or "
                        "written by hand?"
                    ) from None
        if not isinstance(record, dict):
            raise PermanentError(f"{where}: is no object of keys and values")
        if end - self.at > self.limits.row_bytes:
            raise too_long(where, self.limits)
        self.line += self.text.count("\n", self.at, end)
        self.at = end
        return record


def too_long(where: str, limits: FileLimits) -> PermanentError:
    """Returns the error of a row that is longer than it may be."""
    return PermanentError(
        f"{where}: is longer than {limits.row_bytes:,} characters. Is it one record? If it is, raise "
        "ECOMMERCE_FILE_ROW_BYTES"
    )
