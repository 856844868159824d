"""The decorators of the package's tasks: `task` and `short_circuit_task` as in Airflow, `linked_task` with links.

When a task fails, Airflow logs the whole chain of exceptions. Each function is therefore wrapped in `values_withheld`,
which lets no error out whose text may quote the input. A result is one XCom unless `multiple_outputs` is set, and the
UI does not show the docstring.

The decorators are the provider's own functions, because `airflow.sdk.task` reads the list of all providers first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow.providers.standard.decorators import python, short_circuit
from airflow.sdk.bases.decorator import task_decorator_factory

from ecommerce_elt.airflow.links import _LinkedPythonOperator
from ecommerce_elt.errors import values_withheld


def _withholding(decorator: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the decorator of Airflow for functions whose errors withhold values."""

    def decorated(function: Any = None, *, multiple_outputs: bool = False, **kwargs: Any) -> Any:
        if function is None:
            return partial(decorated, multiple_outputs=multiple_outputs, **kwargs)
        withheld = values_withheld()(function)
        withheld.__doc__ = None
        return decorator(withheld, multiple_outputs=multiple_outputs, **kwargs)

    return decorated


task = _withholding(python.python_task)
short_circuit_task = _withholding(short_circuit.short_circuit_task)
linked_task = _withholding(partial(task_decorator_factory, decorated_operator_class=_LinkedPythonOperator))
