"""The COPY statement: its grammar, and which options go together. Source: Redshift Developer Guide, COPY."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sqlglot.tokenizer_core import Token, TokenType

from local.redshift import dialect
from local.redshift.errors import SqlError, syntax_error, unsupported

PARQUET_REFUSED = {
    "MAXERROR",
    "ACCEPTANYDATE",
    "REGION",
    "IGNOREALLERRORS",
    "DELIMITER",
    "TRUNCATECOLUMNS",
    "GZIP",
    "BZIP2",
    "ZSTD",
    "NULL",
    "IGNOREHEADER",
    "COMPUPDATE",
    "QUOTE",
    "DATEFORMAT",
    "TIMEFORMAT",
    "EMPTYASNULL",
    "BLANKSASNULL",
    "ESCAPE",
    "REMOVEQUOTES",
    "IGNOREBLANKLINES",
    "TRIMBLANKS",
    "ROUNDEC",
}
# Whether a value follows each option.
OPTIONS = {
    "GZIP": False,
    "BZIP2": False,
    "ZSTD": False,
    "MANIFEST": False,
    "FILLRECORD": False,
    "TRUNCATECOLUMNS": False,
    "EMPTYASNULL": False,
    "BLANKSASNULL": False,
    "MAXERROR": True,
    "IGNOREHEADER": True,
    "DELIMITER": True,
    "NULL": True,
    "QUOTE": True,
    "DATEFORMAT": True,
    "TIMEFORMAT": True,
    "REGION": True,
    "ESCAPE": False,
    "IGNOREBLANKLINES": False,
    "TRIMBLANKS": False,
    "ROUNDEC": False,
    "EXPLICIT_IDS": False,
    "NOLOAD": False,
}
# Options of Redshift that are not supported here: ignoring them would load other rows than Redshift does.
NOT_DONE = {
    "ACCEPTANYDATE",
    "REMOVEQUOTES",
    "FIXEDWIDTH",
    "ENCODING",
    "SHAPEFILE",
    "SSH",
    "READRATIO",
    "ENCRYPTED",
    "MASTER_SYMMETRIC_KEY",
    "IGNOREALLERRORS",
    "LZOP",
    "SERIALIZETOJSON",
    "NOLOAD",
    "EXPLICIT_IDS",
}
NOT_WITH = {"CSV": {"ESCAPE"}, "JSON": {"DELIMITER", "ESCAPE", "FILLRECORD", "QUOTE", "NULL"}}


@dataclass
class Copy:
    """A parsed COPY statement."""

    table: str
    columns: list[str]
    source: str
    format: str = "TEXT"
    json_paths: str = "auto"
    options: dict[str, str] = field(default_factory=dict)

    @property
    def most_errors(self) -> int:
        """The number of invalid rows at which a load fails; 0 and 1 have the same meaning."""
        return int(self.options.get("MAXERROR", 0))


class _Reader:
    def __init__(self, sql: str) -> None:
        self.sql, self.stream, self.position = sql, dialect.tokens(sql), 0

    def peek(self) -> Token | None:
        return self.stream[self.position] if self.position < len(self.stream) else None

    def wrong(self, token: Token) -> SqlError:
        return SqlError(f'ERROR: syntax error at or near "{token.text}"\n  Position: {token.start + 1}')

    def take(self, *expected: str) -> Token:
        token = self.peek()
        if token is None:
            raise syntax_error(self.sql, "end of input", r"$")
        if expected and token.text.upper() not in expected:
            raise self.wrong(token)
        self.position += 1
        return token

    def take_string(self) -> str:
        token = self.take()
        if token.token_type is not TokenType.STRING:
            raise self.wrong(token)
        return str(token.text)

    def pass_over(self, word: str) -> None:
        if (token := self.peek()) and token.text.upper() == word:
            self.take()

    def at_string(self) -> bool:
        token = self.peek()
        return token is not None and token.token_type is TokenType.STRING


def parse_copy(sql: str) -> Copy:
    """Returns the parsed statement.

    Raises:
        SqlError: The statement is invalid or not supported.
    """
    reader = _Reader(sql)
    reader.take("COPY")
    parts = [reader.take().text.lower()]
    while (dot := reader.peek()) and dot.token_type is TokenType.DOT:
        reader.take()
        parts.append(reader.take().text.lower())
    columns: list[str] = []
    if (paren := reader.peek()) and paren.token_type is TokenType.L_PAREN:
        reader.take()
        while True:
            columns.append(reader.take().text.lower())
            if reader.take(",", ")").text == ")":
                break
    reader.take("FROM")
    copy = Copy(".".join(parts[-2:]), columns, reader.take_string())
    if not copy.source.startswith("s3://"):
        raise unsupported(f"COPY from {copy.source.split(':', 1)[0]}")
    has_credentials = False
    while token := reader.peek():
        word = reader.take().text.upper()
        if word in {"WITH", "AS", ";"}:
            continue
        if word in {"IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"}:
            _credentials(reader, word)
            has_credentials = True
        elif word == "FORMAT":
            reader.pass_over("AS")
            _format(reader, copy, reader.take("PARQUET", "CSV", "JSON", "ORC", "AVRO").text.upper())
        elif word in {"PARQUET", "CSV", "JSON", "ORC", "AVRO"}:
            _format(reader, copy, word)
        else:
            _option(reader, copy, token, word)
    if not has_credentials:
        raise SqlError("ERROR: Must specify an IAM role or credentials")
    _check(copy)
    return copy


def _credentials(reader: _Reader, word: str) -> None:
    reader.pass_over("AS")
    if word != "IAM_ROLE":
        reader.take_string()
        return
    role = reader.take()
    if role.text.lower() != "default" and not re.match(r"arn:aws[a-z-]*:iam::\d{12}:role/", role.text):
        raise SqlError("ERROR: Invalid IAM role: expected default or the ARN of a role")


def _format(reader: _Reader, copy: Copy, word: str) -> None:
    copy.format = word
    reader.pass_over("AS")
    if word in {"JSON", "AVRO"} and reader.at_string():
        copy.json_paths = reader.take_string()


def _option(reader: _Reader, copy: Copy, token: Token, word: str) -> None:
    if word in NOT_DONE:
        raise unsupported(f"COPY with {word}")
    if word in {"COMPUPDATE", "STATUPDATE"}:  # encodings and statistics affect storage, not content
        copy.options[word] = ""
        if (following := reader.peek()) and following.text.upper() in {"ON", "OFF", "TRUE", "FALSE", "PRESET"}:
            copy.options[word] = reader.take().text
    elif word == "ACCEPTINVCHARS":
        reader.pass_over("AS")
        copy.options[word] = reader.take_string() if reader.at_string() else "?"
    elif word in OPTIONS:
        if OPTIONS[word]:
            reader.pass_over("AS")
            copy.options[word] = reader.take().text
        else:
            copy.options[word] = ""
    else:
        raise reader.wrong(token)


def _check(copy: Copy) -> None:
    if copy.format in {"ORC", "AVRO"}:
        raise unsupported(f"COPY {copy.format}")
    if copy.format == "PARQUET" and (refused := sorted(PARQUET_REFUSED & copy.options.keys())):
        raise SqlError(f"ERROR: {refused[0]} argument is not supported for PARQUET based COPY")
    if clash := sorted(NOT_WITH.get(copy.format, set()) & copy.options.keys()):
        raise SqlError(f"ERROR: {clash[0]} option is not supported with {copy.format} option")
    if "QUOTE" in copy.options and copy.format != "CSV":
        raise SqlError("ERROR: QUOTE can only be used with CSV")
    for word in ("MAXERROR", "IGNOREHEADER"):
        if not copy.options.get(word, "0").isdigit():
            raise SqlError(f"ERROR: invalid value for {word}: {copy.options[word]}")
    if int(copy.options.get("MAXERROR", 0)) > 100_000:
        raise SqlError("ERROR: MAXERROR must be between 0 and 100000")
    if len(copy.options.get("ACCEPTINVCHARS", "?").encode()) != 1:
        raise SqlError("ERROR: Invalid ACCEPTINVCHARS replacement character: expected one ASCII character")
