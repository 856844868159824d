"""The pages of docs/ that the page "E-commerce" shows: the runbooks, what they link to, and the definitions of the figures."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Addresses below the page, by the folder of the docs that a document is in.
RUNBOOKS, DOCUMENTS = "runbooks", "docs"
DEFINITIONS = "metrics.md"


def address(path: str) -> str | None:
    """Returns the address below the page of a document, given its path below docs/; None if it is not shown there."""
    folder, _, name = path.rpartition("/")
    stem = name.removesuffix(".md")
    if path == DEFINITIONS:
        return "definitions"
    if folder == "runbooks":
        return f"{RUNBOOKS}/{stem}"
    return None if folder else f"{DOCUMENTS}/{stem}"


def file(runbooks: Path, path: str) -> Path:
    """Returns the file of a document, given the folder of the runbooks, beside which the others are, and its path below docs/."""
    folder, _, name = path.rpartition("/")
    return runbooks / name if folder == "runbooks" else runbooks.parent / path


def html(runbooks: Path, path: str) -> str:
    """Returns a document as HTML, given as to `file`, with links that work where the page shows it.

    A link to a document that is not there, or that the page does not show, is replaced by its text and the path,
    and a picture by its description.
    The documents are the project's own files, so that the anchors of the definitions may be HTML.
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
    """Returns the anchor of a heading, as the site of the documentation and GitHub make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _lead(tokens: Iterable[Token], runbooks: Path, folder: str, up: str) -> None:
    """Changes the links among `tokens` of a document in `folder` to addresses of the page, relative to its depth."""
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
