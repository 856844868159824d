"""Listings of many objects, and short pages of them; the reading of a file of some bytes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile

PAGE = 10  # keys that S3 lists at once where `short_pages` is


def put_many(s3, bucket, keys, body=b"{}"):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=body), keys))


@pytest.fixture
def short_pages(s3):
    """S3 lists a few keys at once, as it does where a request asks for no more, whatever ours ask for."""

    def ask_for_few(params, **_):
        params["MaxKeys"] = PAGE

    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", ask_for_few)
    yield
    s3.meta.events.unregister("provide-client-params.s3.ListObjectsV2", ask_for_few)


@pytest.fixture
def read(tmp_path, contracts):
    def read(body, name="file.dat", feed="product_events", **flags):
        path = tmp_path / name
        path.write_bytes(body)
        source = TabularFile(path, contracts[feed], Flags(**flags))
        survey = source.survey()
        return survey, list(source.rows(survey)), source

    return read
