"""Errors of a Lambda without the records that they are about: Lambda prints what its function raises, and CloudWatch keeps it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


class WithheldError(Exception):
    """Stands for an error whose text may quote a record: the traceback is that error's, the text says its kind and code."""


def without_values(error: BaseException) -> str:
    """Returns the kind of an error, and the code and operation where it is an answer of AWS; nothing that it may quote."""
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        return (
            f"{type(error).__name__}: {response['Error'].get('Code')} to {getattr(error, 'operation_name', 'a call')}"
        )
    return type(error).__name__


def values_withheld(handler: Handler) -> Handler:
    """Makes a handler let no error out that may quote a record: its own exceptions are written without any, others are not."""
    own = (handler.__module__, "logic", "ecommerce_events")

    @wraps(handler)
    def withheld(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            return handler(event, context)
        except Exception as error:
            if type(error).__module__.startswith(own):
                raise error from None
            raise WithheldError(without_values(error)).with_traceback(error.__traceback__) from None

    return withheld
