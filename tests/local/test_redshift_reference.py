"""The stand-in answers as the Developer Guide says, or refuses by name: statements of the reference, by chapter."""

import contextlib

import pytest

from local.redshift.engine import Engine
from tests.local.redshift_reference import statements


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with contextlib.closing(Engine(tmp_path_factory.mktemp("reference") / "reference.duckdb", s3=None)) as made:
        yield made


@pytest.mark.parametrize("chapter", statements.chapters())
def test_chapter(engine, chapter):
    wrong = statements.problems(engine, chapter)
    assert not wrong, "\n".join(wrong)


def test_the_reference_is_broad():
    found = [s for chapter in statements.chapters().values() for s in chapter if not s.is_setup]
    assert len(found) >= 500
    assert len({s.sql for s in found}) == len(found), "a statement twice counts twice"
