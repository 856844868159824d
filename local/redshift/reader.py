"""Reads commands word by word if sqlglot cannot parse them."""

from __future__ import annotations

from sqlglot.tokenizer_core import Token, TokenType

from local.redshift import dialect
from local.redshift.errors import SqlError, syntax_error

_ONE_TEXT = {TokenType.COMMAND, TokenType.SHOW}  # the tokenizer returns the rest after these words as one text


class Reader:
    """The words of one statement, read from the first to the last."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        tokens = dialect.tokens(sql)
        if tokens and tokens[0].token_type in _ONE_TEXT:
            tokens = (tokens[0], *dialect.tokens(sql[tokens[0].end + 1 :]))
        self._tokens = [t for t in tokens if t.token_type is not TokenType.SEMICOLON]
        self._at = 0

    @property
    def _next(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def accept(self, *words: str) -> bool:
        """Consumes the words if they come next, and returns whether they did."""
        following = self._tokens[self._at : self._at + len(words)]
        if [t.text.upper() for t in following] != list(words):
            return False
        self._at += len(words)
        return True

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise self.error()

    def one_of(self, words: set[str]) -> str | None:
        """Consumes the next word if it is one of these, and returns it in upper case, or None."""
        token = self._next
        if token is None or token.text.upper() not in words:
            return None
        self._at += 1
        return str(token.text.upper())

    def name(self) -> str:
        """Returns an identifier in lower case; names of system roles contain a colon."""
        token = self._next
        if token is None or token.token_type is TokenType.STRING or not token.text.replace(":", "").strip("(),.;"):
            raise self.error()
        self._at += 1
        text = str(token.text.lower())
        if self.accept(":"):
            text += ":" + self.name()
        return text

    def path(self) -> tuple[str, ...]:
        """Returns the parts of a name with dots."""
        parts = [self.name()]
        while self.accept("."):
            parts.append(self.name())
        return tuple(parts)

    def text(self) -> str:
        """Returns a string literal."""
        token = self._next
        if token is None or token.token_type is not TokenType.STRING:
            raise self.error()
        self._at += 1
        return str(token.text)

    def number(self) -> int:
        token = self._next
        if token is None or not token.text.isdigit():
            raise self.error()
        self._at += 1
        return int(token.text)

    def is_at_end(self) -> bool:
        return self._next is None

    def end(self) -> None:
        if self._next is not None:
            raise self.error()

    def error(self) -> SqlError:
        return syntax_error(self.sql, self._next.text if self._next else "end of input")
