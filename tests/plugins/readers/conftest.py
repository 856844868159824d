"""Reads a file of some bytes."""

import pytest
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile


@pytest.fixture
def read(tmp_path, contracts):
    def read(body, name="file.dat", feed="product_events", **flags):
        path = tmp_path / name
        path.write_bytes(body)
        source = TabularFile(path, contracts[feed], Flags(**flags))
        survey = source.survey()
        return survey, list(source.rows(survey)), source

    return read
