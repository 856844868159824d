"""Reads JSON: one object per line, objects over several lines, or one array of objects. Values keep their spelling."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import FileLimits

PLAIN_DIGITS = 18  # an integer with more digits may not fit into 64 bits
TORN_CHARS = 64  # an error this close to the end of the text read so far may only mean that more text is needed


def _integer(text: str) -> Any:
    return int(text) if len(text) <= PLAIN_DIGITS else orjson.Fragment(text)


# Numbers are written again with the same digits. NaN and Infinity are not valid JSON, but Python and pandas write them.
# They become texts, which are read as missing values.
_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=orjson.Fragment, parse_constant=str)
_BLANKS = {"": re.compile(r"[ \t\r\n]*"), ",": re.compile(r"[ \t\r\n,]*"), "\ufeff": re.compile(r"[ \t\r\n\ufeff]*")}


class JsonRecords:
    """Iterates over the objects of a file: a sequence of objects on one or more lines each, or one array of objects.

    Args:
        texts: the text of the file, in pieces.
        name: the name of the file, for messages.
        limits: the largest size of a record.
    """

    def __init__(self, texts: Iterator[str], name: object, limits: FileLimits) -> None:
        self.texts, self.name, self.limits = texts, name, limits
        self.text, self.at, self.line = "", 0, 1
        self.is_array = False

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields each object with its place: its number in the array, or the line on which it begins, counted from 1.

        Raises:
            PermanentError: a record is not an object, or is larger than a row may be. The message names its place and
                quotes no value.
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
        """Skips blanks, and returns the next character, or an empty text at the end."""
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
    """Returns the error for a row that is longer than the limit."""
    return PermanentError(
        f"{where}: is longer than {limits.row_bytes:,} characters. Is it one record? If it is, raise "
        "ECOMMERCE_FILE_ROW_BYTES"
    )
