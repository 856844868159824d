"""The warehouse's views in BigQuery's SQL."""

from ecommerce_elt.bigquery import views as bigquery_views
from ecommerce_elt.bigquery.place import Place


def test_views_divide_decimals_and_round_as_the_warehouse_does():
    where = Place("my-project-1", "shop", "b")
    sql = "SELECT CAST(a / NULLIF(b, 0) AS DECIMAL(18, 4)) AS r, CAST(SUM(c) AS DECIMAL(18, 2)) AS s FROM mart.x AS x"
    assert bigquery_views.query(sql, where) == (
        "SELECT ROUND(CAST(a AS NUMERIC) / CAST(NULLIF(b, 0) AS NUMERIC), 4) AS r, ROUND(CAST(SUM(c) AS NUMERIC), 2) AS s "
        "FROM `my-project-1`.`shop_mart`.`x` AS x"
    )
