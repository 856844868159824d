"""Two families of errors: what a retry cannot mend, and what it can. And what may be said of the errors of others.

The text of an error often quotes the input: json, pydantic, DuckDB, pyarrow and botocore do, a UnicodeDecodeError holds the
whole of it. Input may name a person, and messages go to logs. So nobody prints the text of an error that reading raised, and
nobody is left to print it: `without_values` says what it is and where, and `values_withheld` stands around whatever reads events.
"""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

# Their texts are of names, types and paths, or fixed. Exactly these: a subclass may say more.
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
# Their errors have texts that they wrote themselves: ours by the rule above, Airflow's of tasks, runs and services.
_OWN = {"ecommerce_elt", "producer", "airflow"}
# What AWS says of rights, names and limits. Of a request that it finds invalid it may quote the values.
_OF_RIGHTS_AND_NAMES = re.compile(
    r"AccessDenied|Forbidden|Unauthorized|UnrecognizedClient|Expired|NotFound|NoSuch|AlreadyExists|Throttl|LimitExceeded|"
    r"Unavailable|SlowDown|Internal|Timeout|PreconditionFailed|Conflict|^4\d\d$|^5\d\d$"
)
_DUCKDB_PLACE = re.compile(r'in file "([^"]+)"|at byte (\d+)|in line (\d+)|[Ll]ine:? (\d+)')
# A text in quotes may be cut off. Codes and positions are shorter than these numbers.
_QUOTED = re.compile(r"""(?P<mark>["'])(?P<text>.*?)(?:(?P=mark)(?!\w)|$)|\S*\d[\d.,()/ -]{3,}\d\S*""", re.DOTALL)
_URL = re.compile(r"(?:s3|https?)://[^\s'\"]+")
_LITERAL = re.compile(r"'([^']{12,})'")
_SPARK = re.compile(r"ecommerce_elt\.errors\.\w+: [^\n]*|\[[A-Z_]+(?:\.[A-Z_]+)*\]")


class PermanentError(Exception):
    """The work cannot succeed as it is: the message says what to change. A retry changes nothing."""


class TransientError(Exception):
    """The work may succeed later: a retry is the right answer."""


class WithheldError(Exception):
    """Stands for an error whose text may quote the input: the traceback is that error's, the text what `without_values` says of it."""


def without_values(error: BaseException) -> str:
    """Returns what an error says of structure: its kind, place, encoding or code; nothing of the input."""
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
    # OSError, and of botocore what is no answer of AWS, name paths, hosts and credentials.
    is_plain = type(error) in _PLAIN or module in _OWN or (module == "builtins" and isinstance(error, OSError))
    return is_plain or (
        module == "botocore" and type(error).__name__ != "ParamValidationError" and not hasattr(error, "response")
    )


def printable(error: BaseException) -> BaseException:
    """Returns the error with those that led to it, each as it is where its text is free of input, else as WithheldError."""
    text, shown = without_values(error), error
    is_own = type(error).__module__.partition(".")[0] in _OWN
    if not is_own and (text != (str(error) or type(error).__name__) or hasattr(error, "__notes__")):
        name = type(error).__name__
        shown = WithheldError(text if text.startswith(name) else f"{name}: {text}").with_traceback(error.__traceback__)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    shown.__cause__ = printable(cause) if cause and cause is not error else None
    return shown


def redacted(text: str, *, known: str) -> str:
    """Returns the text of a service's error with dashes for what it quotes and for long numbers.

    Args:
        known: our own statement. What stands in it stays, and what begins with a literal of it: a message that SQL raises.
    """
    literals = tuple(_LITERAL.findall(known))
    shown, at = "", 0
    while found := _QUOTED.search(text, at):
        quoted = found["text"] or found[0]
        is_ours = quoted in known or quoted.startswith(literals) or _URL.fullmatch(quoted)
        at_end = found.end()
        if found["mark"] and not is_ours:  # it may have quotes in it, so the rest of the line goes, too
            at_end = (text + "\n").index("\n", at_end)
        shown += text[at : found.start()] + (found[0] if is_ours else "---")
        at = at_end
    return shown + text[at:]


@contextmanager
def values_withheld() -> Iterator[None]:
    """Lets no error out whose text, or that of one that led to it, may quote the input. Also a decorator."""
    try:
        yield
    except Exception as error:
        shown = printable(error)
        raise shown from shown.__cause__
