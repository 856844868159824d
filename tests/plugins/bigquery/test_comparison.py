"""The comparison with BigQuery before there is anything to compare."""

from ecommerce_elt.bigquery.comparison import differences
from ecommerce_elt.bigquery.place import Place


def test_before_the_first_export_nothing_differs(config):
    class Empty:
        def query(self, sql):
            assert "ops.exported_table" in sql
            return [(None,)]

    where = Place("my-project-1", "shop", "b")
    assert differences(None, Empty(), where, config.sql_dir) == {}
