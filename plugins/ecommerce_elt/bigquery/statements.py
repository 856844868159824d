"""Runs statements in BigQuery, and converts the errors of Google's clients to ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecommerce_elt.errors import PermanentError, TransientError, redacted
from ecommerce_elt.warehouse.redshift import render

JOB_SECONDS = 900
_TRANSIENT_CODES = {408, 409, 429, 500, 502, 503, 504}
_CONFLICT = re.compile(r"concurrent (update|transaction)", re.IGNORECASE)


class Claimed(PermanentError):  # noqa: N818  # a state of the data set
    """A later export has claimed the data set. No table of this export was swapped in."""


@contextmanager
def explained_errors(known: str = "") -> Iterator[None]:
    """Converts errors of Google's clients to ours, without quoted values of rows.

    Args:
        known: our own statement, whose text is kept.

    Raises:
        TransientError: BigQuery or Cloud Storage was busy or unavailable.
        PermanentError: BigQuery or Cloud Storage refused the request.
        Claimed: a later export has claimed the data set.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        yield
    except GoogleAPICallError as error:
        message = str(error.message)
        if "claimed by the later export" in message:
            raise Claimed("a later export has claimed the data set: clear the run from unload_tables on") from None
        text = f"{type(error).__name__}: {redacted(message.partition('; reason:')[0], known=known)}"
        is_transient = error.code in _TRANSIENT_CODES or _CONFLICT.search(message)
        raise (TransientError if is_transient else PermanentError)(text) from None
    except (RetryError, TransportError) as error:
        raise TransientError(f"{type(error).__name__}: Google does not answer") from error
    except GoogleAuthError as error:
        raise PermanentError(
            f"{type(error).__name__}: Google does not let the connection gcp_bigquery in, "
            "docs/runbooks/bigquery-differs.md"
        ) from error


def run(client: Any, sql: str, config: Any = None) -> list[tuple[Any, ...]]:
    """Runs a statement or a script, and returns its rows. Raises the errors of `explained_errors`."""
    with explained_errors(sql):
        return [tuple(row.values()) for row in client.query(sql, job_config=config).result(timeout=JOB_SECONDS)]


def statement(sql_dir: Path, name: str, names: Mapping[str, str]) -> str:
    """Returns the text of `include/sql/<name>.sql` without its header, with the names filled in."""
    text = (sql_dir / f"{name}.sql").read_text("utf-8")
    return render("\n".join(line for line in text.splitlines() if not line.startswith("--")), names)
