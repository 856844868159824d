"""Errors that a retry cannot fix, errors that it can fix, and functions that remove input values from error texts.

The text of an error often quotes the input: those of json, pydantic, DuckDB, pyarrow and botocore do, and a
UnicodeDecodeError contains all of it. The input may name a person, and messages are logged. Therefore no code prints
the text of an error that reading raised, and no such error may escape. `without_values` describes the kind and place of
an error, and `values_withheld` wraps all code that reads events.
"""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

# Their texts are fixed, or have only names, types and paths. Subclasses are not included: they may quote more.
_PLAIN = {
    AttributeError,
    EOFError,
    ImportError,
    MemoryError,
    ModuleNotFoundError,
    NameError,
    NotImplementedError,
    RecursionError,
    TimeoutError,
    TypeError,
    csv.Error,
    zlib.error,
}
# Packages whose error texts quote no input: ours by the rule above, Airflow's are about tasks, runs and services.
_OWN = {"ecommerce_elt", "producer", "airflow"}
# Error codes of AWS about permissions, names and limits. The error of an invalid request may quote values.
_OF_RIGHTS_AND_NAMES = re.compile(
    r"AccessDenied|Forbidden|Unauthorized|UnrecognizedClient|Expired|NotFound|NoSuch|AlreadyExists|Throttl|LimitExceeded|"
    r"Unavailable|SlowDown|Internal|Timeout|PreconditionFailed|Conflict|^4\d\d$|^5\d\d$"
)
_DUCKDB_PLACE = re.compile(r'in file "([^"]+)"|at byte (\d+)|in line (\d+)|[Ll]ine:? (\d+)')
# A quoted text may be cut off, so its closing quote is optional. Codes and positions are shorter than these numbers.
_QUOTED = re.compile(r"""(?P<mark>["'])(?P<text>.*?)(?:(?P=mark)(?!\w)|$)|\S*\d[\d.,()/ -]{3,}\d\S*""", re.DOTALL)
_URL = re.compile(r"(?:s3|https?)://[^\s'\"]+")
_LITERAL = re.compile(r"'([^']{12,})'")
_SPARK = re.compile(r"ecommerce_elt\.errors\.\w+: [^\n]*|\[[A-Z_]+(?:\.[A-Z_]+)*\]")


class PermanentError(Exception):
    """The work cannot succeed without a change, which the message names. A retry does not help."""


class TransientError(Exception):
    """The work may succeed later, so a retry is useful."""


class WithheldError(Exception):
    """Replaces an error whose text may quote the input: its traceback is kept, its text is that of `without_values`."""


def without_values(error: BaseException) -> str:
    """Returns the kind, place, encoding or code of an error, without anything of the input."""
    kind = type(error).__name__
    if isinstance(error, UnicodeDecodeError | UnicodeEncodeError):
        unit = "byte" if isinstance(error, UnicodeDecodeError) else "character"
        return f"no {error.encoding} at {unit} {error.start}: {error.reason}"
    if isinstance(error, json.JSONDecodeError):  # orjson's, too
        return f"no JSON at line {error.lineno} column {error.colno}: {error.msg.partition(':')[0]}"
    if (errors := getattr(error, "errors", None)) and kind == "ValidationError":  # of pydantic
        return f"{kind}: " + ", ".join(e["type"] for e in errors(include_input=False, include_context=False))
    if isinstance(response := getattr(error, "response", None), dict) and "Error" in response:  # of botocore
        code = str(response["Error"].get("Code", "unknown"))
        if _OF_RIGHTS_AND_NAMES.search(code):
            return str(error)
        return f"AWS answered {code} to {getattr(error, 'operation_name', 'a call')}"
    module = type(error).__module__.partition(".")[0]
    if kind == "OutOfMemoryException":  # of DuckDB
        return f"{kind}: more than ECOMMERCE_CLEAN_MEMORY_BYTES in memory and ECOMMERCE_SPILL_MAX_BYTES in ECOMMERCE_WORK_DIR"
    if module in {"duckdb", "_duckdb"}:
        return " ".join([kind, *(found[0] for found in _DUCKDB_PLACE.finditer(str(error)))])
    if module in {"pyspark", "py4j"}:
        return " ".join([kind, *dict.fromkeys(_SPARK.findall(str(error)))])
    return str(error) or kind if _is_plain(error) else kind


def _is_plain(error: BaseException) -> bool:
    module = type(error).__module__.partition(".")[0]
    # OSError, and errors of botocore that are not answers of AWS, are about paths, hosts and credentials only.
    is_plain = type(error) in _PLAIN or module in _OWN or (module == "builtins" and isinstance(error, OSError))
    return is_plain or (
        module == "botocore" and type(error).__name__ != "ParamValidationError" and not hasattr(error, "response")
    )


def printable(error: BaseException) -> BaseException:
    """Returns the error and its causes; each whose text may quote the input is replaced by a WithheldError."""
    text, shown = without_values(error), error
    is_own = type(error).__module__.partition(".")[0] in _OWN
    if not is_own and (text != (str(error) or type(error).__name__) or hasattr(error, "__notes__")):
        name = type(error).__name__
        shown = WithheldError(text if text.startswith(name) else f"{name}: {text}").with_traceback(error.__traceback__)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    shown.__cause__ = printable(cause) if cause and cause is not error else None
    return shown


def redacted(text: str, *, known: str) -> str:
    """Returns the text of a service's error with quoted texts and long numbers replaced by dashes.

    Args:
        text: the text of the error.
        known: our own statement. Texts that occur in it are kept, and texts that begin with one of its literals, such
            as a message that the SQL raises.
    """
    literals = tuple(_LITERAL.findall(known))
    shown, at = "", 0
    while found := _QUOTED.search(text, at):
        quoted = found["text"] or found[0]
        is_ours = quoted in known or quoted.startswith(literals) or _URL.fullmatch(quoted)
        at_end = found.end()
        if found["mark"] and not is_ours:  # the text may contain quotes, so the rest of the line is removed too
            at_end = (text + "\n").index("\n", at_end)
        shown += text[at : found.start()] + (found[0] if is_ours else "---")
        at = at_end
    return shown + text[at:]


@contextmanager
def values_withheld() -> Iterator[None]:
    """Replaces errors whose text, or whose cause's text, may quote the input. Can be used as a decorator."""
    try:
        yield
    except Exception as error:
        shown = printable(error)
        raise shown from shown.__cause__
