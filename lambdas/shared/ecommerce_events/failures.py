"""Removal of record values from the errors of a Lambda.

Lambda logs every exception that its function raises, and CloudWatch keeps the log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


class WithheldError(Exception):
    """Replaces an error whose message may quote a record.

    It has the traceback of that error. Its message has only the type of that error and its AWS error code.
    """


def without_values(error: BaseException) -> str:
    """Returns the type of an error, without its message, which may quote a record.

    For an error response of AWS, the error code and the operation are added.
    """
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        return (
            f"{type(error).__name__}: {response['Error'].get('Code')} to {getattr(error, 'operation_name', 'a call')}"
        )
    return type(error).__name__


def values_withheld(handler: Handler) -> Handler:
    """Decorates a handler so that it raises no error that may quote a record.

    Exceptions of the handler's own modules pass unchanged, because their messages contain no values. All others are
    replaced by WithheldError.
    """
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
