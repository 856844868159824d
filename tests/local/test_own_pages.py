"""A web page that is open in the same browser neither reads nor changes anything on the local ports."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from local import google_cloud
from local.own_pages import refusal
from tests.e2e.browser import chromium
from tests.support.google_bench import Google

OWN = "127.0.0.1:4566"


@pytest.mark.parametrize(
    ("headers", "is_served"),
    [
        pytest.param({"host": OWN}, True, id="client"),
        pytest.param({"host": "localhost:4566"}, True, id="localhost"),
        pytest.param({"host": "lake.localhost:4566"}, True, id="bucket_in_the_name"),
        pytest.param({"host": "[::1]:4566"}, True, id="ipv6"),
        pytest.param({"host": "cloud:4566"}, True, id="service_of_a_compose_file"),
        pytest.param({"host": "172.18.0.2:4566"}, True, id="address_of_a_container"),
        pytest.param({"host": "evil.example:4566"}, False, id="rebound_name"),
        pytest.param({"host": "127.0.0.1.evil.example"}, False, id="name_that_begins_like_an_address"),
        pytest.param({"host": "8.8.8.8"}, False, id="public_address"),
        pytest.param({}, False, id="no_host"),
        pytest.param({"host": OWN, "origin": f"http://{OWN}"}, True, id="own_page"),
        pytest.param({"host": OWN, "origin": "http://evil.example"}, False, id="other_origin"),
        pytest.param({"host": OWN, "origin": "http://127.0.0.1:3000"}, False, id="other_port"),
        pytest.param({"host": OWN, "origin": "null"}, False, id="opaque_origin"),
        pytest.param(
            {"host": OWN, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, False, id="image_or_script"
        ),
        pytest.param(
            {"host": OWN, "sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
            False,
            id="frame",
        ),
        pytest.param(
            {"host": OWN, "sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
            True,
            id="link_of_a_task",
        ),
        pytest.param({"host": OWN, "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, True, id="typed_address"),
    ],
)
def test_who_is_served(headers, is_served):
    assert (refusal(headers) == "") == is_served


@pytest.fixture
def ports(cloud):
    return [
        cloud.cloud_url,
        cloud.url("redshift"),
        cloud.url("firehose"),
        cloud.url("dynamodb"),
        cloud.url("quicksight"),
        cloud.url("glue"),
    ]


def test_every_port_refuses_other_names_and_other_pages(ports, bucket, s3):
    s3.put_object(Bucket=bucket, Key="secret.txt", Body=b"names and phones")
    for url in [*ports, f"{ports[0]}/{bucket}/secret.txt"]:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = httpx.get(url, headers=headers)
            assert (answer.status_code, "phones" in answer.text) == (403, False), (url, headers)
            assert "access-control-allow-origin" not in answer.headers
    assert httpx.get(f"{ports[0]}/{bucket}/secret.txt").text == "names and phones"
    assert "access-control-allow-origin" not in httpx.get(ports[0]).headers


@pytest.mark.nightly
@pytest.mark.skipif(
    not google_cloud.is_installed(), reason="BigQuery's emulators are not installed: make setup-bigquery"
)
def test_bigquerys_emulators_refuse_them_too(tmp_path):
    google = Google(tmp_path)
    try:
        google.storage.bucket(google.where.bucket).blob("secret.txt").upload_from_string("names and phones")
        objects = f"{google.stack.url('cloud-storage')}/storage/v1/b/{google.where.bucket}/o"
        queries = f"{google.stack.url('bigquery')}/bigquery/v2/projects/{google.where.project}/queries"
        ask = {"query": "SELECT 'names and phones'", "useLegacySql": False}
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answers = [
                httpx.get(f"{objects}/secret.txt?alt=media", headers=headers),
                httpx.delete(f"{objects}/secret.txt", headers=headers),
                httpx.post(queries, json=ask, headers=headers),
            ]
            for answer in answers:
                assert (answer.status_code, "phones" in answer.text) == (403, False), (answer.url, headers)
                assert "access-control-allow-origin" not in answer.headers
        assert google.storage.bucket(google.where.bucket).blob("secret.txt").download_as_text() == "names and phones"
        assert google.rows(ask["query"]) == [("names and phones",)]
    finally:
        google.close()


def test_a_page_of_another_origin_in_the_browser(ports, bucket, s3):
    s3.put_object(Bucket=bucket, Key="secret.txt", Body=b"names and phones")
    target = f"{ports[0]}/{bucket}"

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>another page</title><body></body>")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium() as browser:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            read = "url => fetch(url).then(answer => answer.text()).catch(error => 'refused')"
            assert page.evaluate(read, f"{target}/secret.txt") == "refused"
            write = "url => fetch(url, {method: 'POST', mode: 'no-cors', body: 'Action=CreateQueue&QueueName=planted'}).then(() => 1)"
            page.evaluate(write, ports[0])
            put = "url => fetch(url, {method: 'PUT', body: 'planted'}).catch(error => 'refused')"
            assert page.evaluate(put, f"{target}/planted.txt") == "refused"
    finally:
        server.shutdown()
        server.server_close()
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["secret.txt"]
    queues = httpx.post(
        ports[0],
        data={"Action": "ListQueues", "Version": "2012-11-05"},
        headers={"Authorization": "Credential=test/20260101/us-east-1/sqs/"},
    )
    assert "planted" not in queues.text
