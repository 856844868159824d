"""The transaction of a load, as a list of statements."""

import pytest
from ecommerce_elt.batches.clean_files import CleanBatch
from ecommerce_elt.load.transaction import Load, load_statements
from ecommerce_elt.warehouse.redshift import BATCH_MAX_STATEMENTS

from tests.conftest import PROJECT

FEEDS = sorted(path.stem for path in (PROJECT / "include" / "feeds").glob("*.yaml"))
TURN = 1  # LOCK ops.turn, where the isolation level is SERIALIZABLE
# A run of landed files may skip rows, and a batch that takes rows out may replace values: none does both.
RUNS = {
    "stream": {},
    "landed": {"skips": True, "skipped": "s3://bucket/known/"},
    "replacing": {"replaced": "s3://bucket/values/"},
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("feed", FEEDS)
def test_the_longest_load_of_a_feed_is_one_batch_of_the_data_api(feed, run, contracts, config):
    batch = CleanBatch(f"{feed}-20260101T000000Z-0123456789abcdef", feed, 3, 2, 1, 0, withdrawn=1)
    statements = load_statements(Load(batch, contracts[feed], **RUNS[run]), config)
    assert len(statements) + TURN <= BATCH_MAX_STATEMENTS
