"""The pages of docs/ on the page "E-commerce": runbooks, the documents they link to, and the definitions of figures."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Paths below the page for the runbooks and for the other documents.
RUNBOOKS, DOCUMENTS = "runbooks", "docs"
DEFINITIONS = "metrics.md"


def address(path: str) -> str | None:
    """Returns the address of a document below the page, given its path below docs/; None if it is not shown."""
    folder, _, name = path.rpartition("/")
    stem = name.removesuffix(".md")
    if path == DEFINITIONS:
        return "definitions"
    if folder == "runbooks":
        return f"{RUNBOOKS}/{stem}"
    return None if folder else f"{DOCUMENTS}/{stem}"


def file(runbooks: Path, path: str) -> Path:
    """Returns the file of a document, given its path below docs/; other documents are in the parent of `runbooks`."""
    folder, _, name = path.rpartition("/")
    return runbooks / name if folder == "runbooks" else runbooks.parent / path


def html(runbooks: Path, path: str) -> str:
    """Returns a document as HTML, with links that work on the page. The arguments are those of `file`.

    A link to a document that does not exist, or that the page does not show, is replaced by its text and the path. A
    picture is replaced by its description. The documents are the project's own files, so the definitions may have HTML
    anchors.
    """
    reader = MarkdownIt("commonmark", {"html": path == DEFINITIONS}).enable("table")
    tokens = reader.parse(file(runbooks, path).read_text("utf-8"))
    up = "../" * (address(path) or "").count("/")
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before and before.type == "heading_open":
            before.attrSet("id", _anchor(token.content))
        _lead(token.children or [], runbooks, posixpath.dirname(path), up)
    return str(reader.renderer.render(tokens, reader.options, {}))


def _anchor(heading: str) -> str:
    """Returns the anchor of a heading, as on the documentation site and on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _lead(tokens: Iterable[Token], runbooks: Path, folder: str, up: str) -> None:
    """Changes the links in `tokens` of a document in `folder` to addresses of the page, prefixed with `up`."""
    lost: str | None = None
    for token in tokens:
        if token.type == "image":
            token.type, token.tag = "text", ""
        elif token.type == "link_open":
            target, _, anchor = str(token.attrGet("href")).partition("#")
            if ":" in target or not target:
                continue
            path = posixpath.normpath(posixpath.join(folder, target))
            found = address(path) if path.endswith(".md") and not path.startswith("..") else None
            if found and file(runbooks, path).is_file():
                token.attrSet("href", up + found + (f"#{anchor}" if anchor else ""))
            else:
                token.type, token.tag, token.nesting, lost = "text", "", 0, posixpath.normpath(f"docs/{path}")
        elif token.type == "link_close" and lost:
            token.type, token.tag, token.nesting, token.content, lost = "text", "", 0, f" ({lost})", None
