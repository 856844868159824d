"""The link to Looker Studio names each data set's table once."""

from urllib.parse import parse_qs, urlsplit

from ecommerce_elt.dashboards.data_sets import DATA_SETS

from bi.looker_studio.__main__ import link


def test_the_link_has_every_data_set():
    url = urlsplit(link("my-project", "shop", "A report"))
    assert (url.scheme, url.netloc, url.path) == ("https", "lookerstudio.google.com", "/reporting/create")
    found = {key: values[0] for key, values in parse_qs(url.query, strict_parsing=True).items()}
    assert found["r.reportName"] == "A report"
    for number, data_set in enumerate(DATA_SETS):
        assert found[f"ds.ds{number}.tableId"] == data_set.id
        assert found[f"ds.ds{number}.connector"] == "bigQuery"
        assert (found[f"ds.ds{number}.projectId"], found[f"ds.ds{number}.datasetId"]) == ("my-project", "shop")
