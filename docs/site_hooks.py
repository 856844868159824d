"""What MkDocs does besides for the site of the documentation: mkdocs.yml names this file under `hooks`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")
# Entries of the navigation that stand for all pages of a folder.
FOLDERS = {"RUNBOOKS": "runbooks", "DECISIONS": "adr"}


def on_config(config: Any, **_: Any) -> Any:
    """Returns the configuration with the pages of runbooks and decisions in the navigation."""
    config["nav"] = [_filled(entry) for entry in config["nav"]]
    return config


def _filled(entry: Any) -> Any:
    match entry:
        case dict():
            return {title: _filled(below) for title, below in entry.items()}
        case list():
            return [_filled(below) for below in entry]
        case str() if entry in FOLDERS:
            names = sorted(path.name for path in (DOCS / FOLDERS[entry]).glob("*.md"))
            return [f"{FOLDERS[entry]}/{name}" for name in sorted(names, key=lambda name: name != "README.md")]
        case _:
            return entry


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Returns the text of a page with links to files outside docs/, which the site does not have, as their paths."""
    here = (DOCS / page.file.src_uri).parent

    def plain(found: re.Match[str]) -> str:
        text, target = found[1], found[2]
        if ":" in target or (here / target).resolve().is_relative_to(DOCS):
            return found[0]
        path = (here / target).resolve().relative_to(DOCS.parent)
        return f"`{path}`" if text.strip("`").endswith(path.name) else f"{text} (`{path}`)"

    kept: list[str] = []
    end = 0
    for fence in FENCE.finditer(markdown):
        kept += [LINK.sub(plain, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*kept, LINK.sub(plain, markdown[end:])])
