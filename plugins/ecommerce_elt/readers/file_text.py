"""Decodes the bytes of a file: detects the encoding, and yields the text in pieces or in lines."""

from __future__ import annotations

import codecs
import hashlib
import io
import itertools
from collections.abc import Iterator

from ecommerce_elt.errors import PermanentError, without_values
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.json_records import too_long
from ecommerce_elt.readers.open_questions import NOT_SHOWN, OpenQuestionError
from ecommerce_elt.readers.packed import TEXTS, PackedFile

TEXT_BYTES = 1 << 16
LEGACY_ENCODINGS = ("cp1252", "iso8859-1", "cp850", "mac_roman")


class TooLongError(Exception):
    """A row is longer than the limit."""


class FileText:
    """The text of a file.

    Args:
        source: the file.
        contract: the contract of the feed.
        flags: with the encoding, if the user gave it.
    """

    def __init__(self, source: PackedFile, contract: Contract, flags: Flags) -> None:
        self.source, self.contract, self.flags = source, contract, flags
        self.name, self.limits = source.name, source.limits

    def digest(self) -> tuple[str, str]:
        """Returns the SHA-256 and the encoding of the unpacked bytes; both in one pass because unpacking is slow.

        The encoding is empty if the file is no text.

        Raises:
            PermanentError: the encoding is unknown, or the first line is too long for a row.
            OpenQuestionError: the bytes are not UTF-8, and the user gave no encoding.
        """
        kind, digest, decoder, encoding = self.source.kind, hashlib.sha256(), None, ""
        if kind in TEXTS:
            encoding = self.flags.encoding or self.source.bom or "utf-8"
            try:
                codecs.lookup(encoding)
            except LookupError:
                raise PermanentError(f"{self.name}: encoding {encoding}: Python knows no such encoding") from None
            if encoding == "utf-8" and not self.flags.encoding:
                decoder = codecs.getincrementaldecoder("utf-8")()
        line, without_end = 1, 0
        for chunk in itertools.chain(self.source.chunks(), [b""]):
            digest.update(chunk)
            if decoder:
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    raise self._not_utf8(line, error) from None
                line += chunk.count(b"\n")
            if kind == "csv":  # detects a file that is one long line before all of it is unpacked
                end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
                without_end = len(chunk) - end - 1 if end >= 0 else without_end + len(chunk)
                if without_end > 4 * self.limits.row_bytes:  # a character has up to 4 bytes
                    raise too_long(f"{self.name}: line {line}", self.limits)
        return digest.hexdigest(), encoding

    def _not_utf8(self, line: int, error: UnicodeDecodeError) -> PermanentError:
        bad = error.object
        line += bad[: error.start].count(b"\n")
        answers, readings = [{"encoding": e} for e in LEGACY_ENCODINGS], f". {NOT_SHOWN}"
        if not self.contract.is_personal:
            begin, end = bad.rfind(b"\n", 0, error.start) + 1, bad.find(b"\n", error.start)
            sample = bad[max(begin, error.start - 30) : end if 0 <= end < error.start + 30 else error.start + 30]
            readings = ": " + "; ".join(f"{e}: {sample.decode(e, 'replace').strip()!r}" for e in LEGACY_ENCODINGS)
        return OpenQuestionError(
            f"{self.name}: line {line} is not UTF-8. Pass ", answers, f", whichever reads right{readings}"
        )

    def pieces(self, encoding: str) -> Iterator[str]:
        """Yields the text in pieces that end anywhere."""
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            for chunk in self.source.chunks(TEXT_BYTES):
                if text := decoder.decode(chunk):
                    yield text
            yield decoder.decode(b"", True)
        except UnicodeError as error:
            why = getattr(error, "reason", type(error).__name__)
            raise PermanentError(f"{self.name}: not {encoding}: {why}") from None

    def whole_lines(self, encoding: str) -> Iterator[str]:
        """Yields the text in pieces of whole lines.

        Raises:
            UnicodeError: the text is not in this encoding.
            TooLongError: a line is longer than a row may be.
        """
        decoder = codecs.getincrementaldecoder(encoding)()
        rest = ""
        for chunk in self.source.chunks(TEXT_BYTES):
            text = rest + decoder.decode(chunk)
            end = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1  # a final \r may be the first half of \r\n
            rest = text[end:]
            if len(rest) > self.limits.row_bytes:
                raise TooLongError
            yield text[:end]
        yield rest + decoder.decode(b"", True)

    def lines(self, encoding: str) -> Iterator[str]:
        """Yields lines with their ends. io.TextIOWrapper is slower: for each line it checks `closed` in Python."""
        return itertools.chain.from_iterable(io.StringIO(text, newline="") for text in self.whole_lines(encoding))

    def first_lines(self, encoding: str, number: int) -> list[str]:
        """Returns the first lines, or those before a line that is too long.

        Raises:
            PermanentError: the text is not in this encoding, or its first line is too long.
        """
        found: list[str] = []
        try:
            found.extend(itertools.islice(self.lines(encoding), number))  # if this fails, it has the lines so far
        except UnicodeError as error:
            raise PermanentError(f"{self.name}: line 1: not {encoding}: {without_values(error)}") from None
        except TooLongError:
            if not found:
                raise too_long(f"{self.name}: line 1", self.limits) from None
        return found
