"""Tableau: the extract keeps rows and types, a server gets it, and the live data sources are what Redshift has."""

import email
import http.server
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from decimal import Decimal

import pytest
import tableauserverclient
from ecommerce_elt.dashboards import tableau
from ecommerce_elt.dashboards.data_sets import DATA_SETS, DataSet
from ecommerce_elt.errors import PermanentError
from pydantic import SecretStr

from tests.bi import hyper
from tests.conftest import PROJECT

HOST = "ecommerce.000000000000.us-east-1.redshift-serverless.amazonaws.com"


def test_the_extract_keeps_rows_types_and_nulls(observer, tmp_path):
    (tmp_path / "export/odd").mkdir(parents=True)
    (tmp_path / "export/odd/select.sql").write_text(
        """SELECT CAST('2010-12-01' AS DATE) AS day, CAST('12345678.901' AS DECIMAL(18, 3)) AS money, 7 AS number, 'é' AS word
           UNION ALL SELECT NULL, CAST('-0.05' AS DECIMAL(18, 3)), 8, NULL
           UNION ALL SELECT NULL, NULL, NULL, NULL"""
    )
    file = tmp_path / "odd.hyper"
    assert tableau.write_extract(observer.warehouse, [DataSet("odd", "Odd", ())], tmp_path, file) == {"odd": 3}
    columns, rows = hyper.tables(file)["odd"]
    assert columns == [("day", "DATE"), ("money", "NUMERIC(18, 3)"), ("number", "INT"), ("word", "TEXT")]
    full, small, empty = sorted(rows, key=lambda row: row[2] or 99)
    assert (str(full[0]), *full[1:]) == ("2010-12-01", Decimal("12345678.901"), 7, "é")
    assert small[1] == Decimal("-0.050")  # a library that writes decimals as text got these wrong
    assert set(empty) == {None}


XMLNS = 'xmlns="http://tableau.com/api"'


class TableauServer(http.server.BaseHTTPRequestHandler):
    """The calls of Tableau's REST API that a publication makes; the server itself cannot run here."""

    published: dict[str, object]

    def _answer(self, body, status=200):
        text = f'<?xml version="1.0"?><tsResponse {XMLNS}>{body}</tsResponse>'.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if self.path.endswith("/serverInfo"):
            return self._answer(
                '<serverInfo><productVersion build="1">2025.1</productVersion><restApiVersion>3.25</restApiVersion></serverInfo>'
            )
        assert self.headers["X-Tableau-Auth"] == "signed-in"
        return self._answer(
            '<pagination pageNumber="1" pageSize="100" totalAvailable="1"/><projects><project id="p1" name="E-commerce"/></projects>'
        )

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/auth/signin"):
            credentials = ET.fromstring(body)[0].attrib
            if credentials["personalAccessTokenSecret"] != "secret":
                return self._answer(
                    '<error code="401001"><summary>Signin Error</summary><detail>The token is wrong</detail></error>',
                    401,
                )
            return self._answer(
                '<credentials token="signed-in"><site id="s1" contentUrl="shop"/><user id="u1"/></credentials>'
            )
        if self.path.endswith("/auth/signout"):
            return self._answer("", 204)
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = email.message_from_bytes(head + body).get_payload()
        type(self).published = {
            "path": self.path,
            "request": parts[0].get_payload(decode=True),
            "file": parts[1].get_payload(decode=True),
        }
        return self._answer(
            '<datasource id="d1" name="E-commerce" contentUrl="e" type="hyper"><project id="p1" name="E-commerce"/><owner id="u1"/><tags/></datasource>',
            201,
        )

    def log_message(self, *arguments):
        return


@pytest.fixture
def server(config):
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TableauServer)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield config.model_copy(
        update={
            "tableau_server": f"http://127.0.0.1:{httpd.server_port}",
            "tableau_site": "shop",
            "tableau_token_name": "elt",
            "tableau_token": SecretStr("secret"),
            "tableau_project": "E-commerce",
        }
    )
    httpd.shutdown()


def test_a_server_gets_the_file(server, tmp_path):
    file = tmp_path / "ecommerce.hyper"
    file.write_bytes(b"an extract")
    assert tableau.publish(file, server) == "d1"
    assert TableauServer.published["file"] == file.read_bytes()
    assert "overwrite=true" in TableauServer.published["path"].lower()
    assert b'project id="p1"' in TableauServer.published["request"]


def test_what_is_wrong_is_said(server, tmp_path):
    file = tmp_path / "ecommerce.hyper"
    file.write_bytes(b"")
    with pytest.raises(PermanentError, match="project 'Nowhere' is not on the site 'shop'"):
        tableau.publish(file, server.model_copy(update={"tableau_project": "Nowhere"}))
    with pytest.raises(tableauserverclient.FailedSignInError, match="The token is wrong"):
        tableau.publish(file, server.model_copy(update={"tableau_token": SecretStr("other")}))


def test_live_data_sources_have_the_columns_of_redshift(cloud, observer, tmp_path):
    command = [sys.executable, "-m", "bi.tableau", "--host", HOST, "--output", str(tmp_path)]
    done = subprocess.run(
        command, cwd=PROJECT, env=os.environ | cloud.user_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for data_set in DATA_SETS:
        root = ET.parse(tmp_path / f"{data_set.id}.tds").getroot()
        connection = root.find(".//named-connection/connection").attrib
        assert (connection["class"], connection["server"], connection["dbname"]) == ("redshift", HOST, "ecommerce")
        columns, _ = observer.warehouse.table(root.find(".//relation").text + "LIMIT 0")
        assert [c.get("name") for c in root.findall("column")] == [f"[{c.name}]" for c in columns]
        roles = {c.get("name"): (c.get("datatype"), c.get("role")) for c in root.findall("column")}
        assert all(role == "measure" for name, (_, role) in roles.items() if "revenue" in name and "rank" not in name)


def test_mistakes_are_one_line(cloud, tmp_path):
    command = [sys.executable, "-m", "bi.tableau", "--host", HOST, "--output", str(tmp_path), "--workgroup", "nowhere"]
    done = subprocess.run(
        command, cwd=PROJECT, env=os.environ | cloud.user_environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Workgroup nowhere does not exist" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
