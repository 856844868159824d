"""The page "E-commerce" in Airflow's UI: a FastAPI application that the api-server mounts.

Airflow does not authenticate plugin applications, so each route requires a signed-in user with access to the site.
"""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response

from ecommerce_elt.errors import PermanentError, TransientError, printable, without_values
from ecommerce_elt.page import documents, figures
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)

PREFIX = "/ecommerce"
STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
# From the npm package plotly.js-basic-dist-min 4.1.1 (MIT). The full plotly.js of the package plotly is four times as
# large, and its start alone takes longer than the time in which the page must show its first chart.
PLOTLY = "plotly-basic.min.js"
A_DAY_SECONDS = 86_400

app = FastAPI(
    title="E-commerce",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[Depends(requires_access_view(AccessView.WEBSITE))],
)


figures.warm()


@lru_cache
def _packed(path: Path, changed_at: float) -> bytes:
    return gzip.compress(path.read_bytes(), 6, mtime=0)


def _file(path: Path, request: Request, *, keep_seconds: int = 0) -> Response:
    headers = {"Cache-Control": f"private, max-age={keep_seconds}" if keep_seconds else "no-cache"}
    kind = f"{TYPES[path.suffix]}; charset=utf-8"
    if "gzip" in request.headers.get("accept-encoding", ""):
        body = _packed(path, path.stat().st_mtime)
        return Response(body, media_type=kind, headers=headers | {"Content-Encoding": "gzip"})
    return Response(path.read_bytes(), media_type=kind, headers=headers)


@app.get("/")
def page(request: Request) -> Response:
    return _file(STATIC / "index.html", request)


@app.get("/static/{name}")
def static(name: str, request: Request) -> Response:
    if name not in {"format.js", "panels.js", "page.js", "page.css", PLOTLY}:
        raise HTTPException(404, f"no file {name}")
    return _file(STATIC / name, request, keep_seconds=A_DAY_SECONDS if name == PLOTLY else 0)


def _answer(figure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return figure()
    except PermanentError as error:
        raise HTTPException(422, str(error)) from error
    except (TransientError, ClientError, BotoCoreError) as error:
        log.error("the page has no figures", exc_info=printable(error))
        raise HTTPException(503, f"The warehouse does not answer: {without_values(error)}") from None


@app.get("/data/business")
def business(
    first: Annotated[date | None, Query(alias="from")] = None,
    last: Annotated[date | None, Query(alias="to")] = None,
    feed: str = "all",
    currency: str = "",
) -> dict[str, Any]:
    """Returns the shop's figures, by default of the last 365 days and in the currency with the most orders."""

    def figure() -> dict[str, Any]:
        span = figures.span()
        if span["first_day"] is None or span["last_day"] is None:
            return {"span": span}
        last_day = last or date.fromisoformat(span["last_day"])
        from_day = first or max(date.fromisoformat(span["first_day"]), last_day - timedelta(days=364))
        return figures.business(from_day, last_day, feed, currency) | {"span": span}

    return _answer(figure)


@app.get("/data/pipeline")
def pipeline(feed: str = "all") -> dict[str, Any]:
    return _answer(lambda: figures.pipeline(feed))


@app.get("/runbooks/{name}")
def runbook(name: str) -> Response:
    """Returns a page of docs/runbooks."""
    return _document(f"runbooks/{name}.md", "runbook")


@app.get("/docs/{name}")
def document(name: str) -> Response:
    """Returns a page of the docs that runbooks link to."""
    return _document(f"{name}.md", "runbook")


@app.get("/definitions")
def definitions() -> Response:
    """Returns docs/metrics.md, the definitions of the figures."""
    return _document(documents.DEFINITIONS, "definitions")


def _document(path: str, kind: str) -> Response:
    """Returns a page of the docs as HTML, given its path below docs/.

    Raises:
        HTTPException: 404, if there is no such page.
    """
    runbooks = settings().runbooks_dir
    if not re.fullmatch(r"(runbooks/)?([a-z-]+|README)\.md", path) or not documents.file(runbooks, path).is_file():
        raise HTTPException(404, f"there is no page docs/{path}; pages of the docs are uploaded beside the runbooks")
    shell = (STATIC / "document.html").read_text("utf-8")
    root = "../" * (documents.address(path) or "").count("/")
    made = shell.replace("<!-- body -->", documents.html(runbooks, path))
    return Response(made.replace("{kind}", kind).replace("{root}", root), media_type="text/html")
