"""The page "E-commerce" in Airflow's UI: a FastAPI application that the api-server mounts.

Airflow does not authenticate plugin applications, so each route asks for a signed-in user who may see the site.
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
from markdown_it import MarkdownIt

from ecommerce_elt.errors import PermanentError, TransientError, printable, without_values
from ecommerce_elt.page import figures
from ecommerce_elt.settings import PROJECT_DIR

log = logging.getLogger(__name__)

PREFIX = "/ecommerce"
STATIC = Path(__file__).parent / "static"
RUNBOOKS = PROJECT_DIR / "docs" / "runbooks"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
# Of the npm package plotly.js-basic-dist-min 4.1.1 (MIT). The whole plotly.js of the package plotly is four times as large,
# and its start alone takes longer than the page may take to its first picture.
PLOTLY = "plotly-basic.min.js"
A_DAY_SECONDS = 86_400

app = FastAPI(
    title="E-commerce", docs_url=None, redoc_url=None, openapi_url=None,
    dependencies=[Depends(requires_access_view(AccessView.WEBSITE))],
)  # fmt: skip


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
    if name not in {"page.js", "page.css", PLOTLY}:
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
    first: Annotated[date | None, Query(alias="from")] = None, last: Annotated[date | None, Query(alias="to")] = None
) -> dict[str, Any]:  # fmt: skip
    """The shop's figures; without days, those of the last year."""

    def figure() -> dict[str, Any]:
        span = figures.span()
        if span["first_day"] is None or span["last_day"] is None:
            return {"span": span}
        last_day = last or date.fromisoformat(span["last_day"])
        from_day = first or max(date.fromisoformat(span["first_day"]), last_day - timedelta(days=364))
        return figures.business(from_day, last_day) | {"span": span}

    return _answer(figure)


@app.get("/data/pipeline")
def pipeline(feed: str = "all") -> dict[str, Any]:
    return _answer(lambda: figures.pipeline(feed))


@app.get("/runbooks/{name}")
def runbook(name: str, request: Request) -> Response:
    """What to do: a page of docs/runbooks."""
    path = RUNBOOKS / f"{name}.md"
    if not re.fullmatch(r"[a-z-]+|README", name) or not path.is_file():
        raise HTTPException(404, f"there is no runbook {name}")
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(path.read_text("utf-8"))
    shell = (STATIC / "runbook.html").read_text("utf-8")
    return Response(shell.replace("<!-- body -->", body), media_type="text/html")
