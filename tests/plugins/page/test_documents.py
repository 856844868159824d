"""The documents that the page shows: every link of them leads to something."""

import re

import pytest
from ecommerce_elt.page import documents

from tests.conftest import PROJECT

DOCS = PROJECT / "docs"
SHOWN = sorted(str(path.relative_to(DOCS)) for folder in (DOCS, DOCS / "runbooks") for path in folder.glob("*.md"))


def links(made):
    return re.findall(r'href="([^"]+)"', made)


@pytest.mark.parametrize("path", SHOWN)
def test_a_link_leads_to_a_document_that_is_shown(path):
    addresses = {documents.address(other) for other in SHOWN}
    here = documents.address(path).rpartition("/")[0]
    for link in links(documents.html(DOCS / "runbooks", path)):
        if link.startswith(("http:", "https:", "#")):
            continue
        target = link.partition("#")[0]
        found = target.removeprefix("../") if target.startswith("../") else f"{here}/{target}".removeprefix("/")
        assert found in addresses, link


def test_a_link_of_a_runbook_has_the_anchor_of_its_heading():
    runbook = documents.html(DOCS / "runbooks", "runbooks/bad-file-in-landing.md")
    assert "../docs/lake#whole-files" in links(runbook)
    assert '<h2 id="whole-files">' in documents.html(DOCS / "runbooks", "lake.md")


def test_a_document_that_is_not_shown_is_named_by_its_path(tmp_path):
    folder = tmp_path / "runbooks"
    folder.mkdir()
    (folder / "a.md").write_text("See [why](../adr/0001-x.md), [more](../lake.md) and [the next](b.md#x).")
    (folder / "b.md").write_text("# B")
    assert documents.html(folder, "runbooks/a.md") == (
        '<p>See why (docs/adr/0001-x.md), more (docs/lake.md) and <a href="../runbooks/b#x">the next</a>.</p>\n'
    )


@pytest.mark.parametrize("path", sorted((PROJECT / "dags").glob("*.py")), ids=lambda path: path.stem)
def test_a_dag_links_to_a_runbook_that_is_shown(path):
    for name in re.findall(r"\(/ecommerce/(runbooks/[^)]+)\)", path.read_text("utf-8")):
        assert f"{name}.md" in SHOWN
