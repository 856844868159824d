"""What the producers of the five source documents send, the way they send it, and what has to become of it.

Each record is one that such a producer makes, with identifiers of this test; nothing is added to it, no envelope and no
header that they do not send. Each test finds its events in core, and invoice lines also by GET and among the rows of Firehose.
"""

import json
from datetime import datetime
from decimal import Decimal

import httpx
import pytest

from local.supervision import wait_for
from tests.faults.world import World

pytestmark = pytest.mark.nightly

LINE = {
    "InvoiceNo": "936365",
    "StockCode": "85123A",
    "Description": "WHITE HANGING HEART T-LIGHT HOLDER",
    "Quantity": "6",
    "InvoiceDate": "12/1/2010 8:26",
    "UnitPrice": "2.55",
    "CustomerID": "97850",
    "Country": "United Kingdom",
}
PERSON = {
    "Name": "Pat Example",
    "Address": "98201 Moore Cliffs Apt. 537 Jamesburgh, NV 21021",
    "Phone": "555-957-0100x022",
    "Age": 20,
    "Gender": "M",
    "Product Name": "Canon EOS R5",
    "Amount": 100,
    "Purchase Date": "2010-01-11",
}


@pytest.fixture(scope="module")
def world(cloud, tmp_path_factory):
    return World.of(cloud, tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def api(cloud):
    env = cloud.user_environment()
    with httpx.Client(base_url=env["ECOMMERCE_API_URL"], headers={"x-api-key": env["ECOMMERCE_API_KEY"]}) as client:
        yield client


def post(api, path, **body):
    answer = api.post(path, **body)
    assert (answer.status_code, "warnings" in answer.json()) == (202, False), answer.text


def put(world, record):
    """One record as their scripts put it: the JSON of the record, and a partition key that says nothing."""
    world.kinesis.put_record(StreamName=world.stream, Data=json.dumps(record), PartitionKey="partition_key")


def loaded(world, count, table, where):
    """Loads what comes in until so many rows are there, and returns them by column."""

    def rows():
        world.finish()
        columns, found = world.target.table(f"SELECT * FROM {table} WHERE {where}")
        return [dict(zip((column.name for column in columns), row, strict=True)) for row in found]

    wait_for(lambda: len(rows()) >= count, 60, f"{count} rows of {table} where {where}", 0.5)
    found = rows()
    assert len(found) == count
    return found


def delivered(world, invoices):
    """The lines of these invoices that Firehose delivered."""
    numbers = ", ".join(f"'{number}'" for number in invoices)
    query = f"SELECT InvoiceNo, UnitPrice, CustomerID, InvoiceDate FROM core.firehose_transactions WHERE InvoiceNo IN ({numbers})"
    wait_for(lambda: len(world.target.query(query)) >= len(invoices), 90, "rows by Firehose", 0.5)
    return world.target.query(query)


def got(api, path):
    """The answer of a GET, once there is one."""
    wait_for(lambda: api.get(path).status_code == 200, 30, path, 0.2)
    return api.get(path).json()


def check_lines(world, api, invoices):
    rows = loaded(
        world, len(invoices), "core.fact_invoice_line", f"invoice_no BETWEEN '{min(invoices)}' AND '{max(invoices)}'"
    )
    for row in rows:
        assert row["event_time"].startswith("2010-12-01 08:26")
        assert (Decimal(row["amount"]), row["customer_id"]) == (Decimal("15.300"), "97850")
    for number in invoices:
        item = got(api, f"/invoices/{number}/items/85123A")
        assert (item["quantity"], item["customer_id"], item["invoice_date"]) == (6, "97850", "2010-12-01T08:26:00Z")
    for number, price, customer, moment in delivered(world, invoices):
        assert number in invoices
        assert (Decimal(price), customer, str(moment)[:16]) == (Decimal("2.55"), "97850", "2010-12-01 08:26")


def test_000_people_with_what_they_bought(world, api):
    """Faker's people, with M and F and a whole number of dollars: by HTTP with the feed's name, and bare on the stream."""
    post(api, "/events?feed=purchases", json=PERSON)
    put(world, PERSON | {"Gender": "F", "Amount": 250})
    rows = loaded(world, 2, "core.fact_purchase", "product_name = 'Canon EOS R5'")
    found = {(row["gender"], Decimal(row["amount"]), row["state"], row["age_group"]) for row in rows}
    assert found == {("Male", Decimal(100), "NV", "18-24"), ("Female", Decimal(250), "NV", "18-24")}
    assert len({row["customer_key"] for row in rows}) == 1


def test_001_invoice_lines_with_numbers_as_numbers(world, api):
    """Lines of the CSV as pandas reads them: identifiers are numbers, and those with gaps are floats."""
    record = LINE | {"StockCode": "85123A", "Quantity": 6, "UnitPrice": 2.55, "CustomerID": 97850.0}
    post(api, "/events?feed=online_retail", json=record | {"InvoiceNo": 910001})
    post(api, "/events", json=record | {"InvoiceNo": 910002})
    put(world, record | {"InvoiceNo": 910003})
    check_lines(world, api, ["910001", "910002", "910003"])


def test_002_movements_of_products(world):
    """A quantity and a price that random.uniform made, with datetime.now().isoformat() as the time."""
    put(
        world,
        {"event_time": "2026-11-27T11:34:39.314505", "product_id": 918, "quantity": 10, "price": 86.26903632435094},
    )
    [row] = loaded(world, 1, "core.fact_product_event", "product_id = '918'")
    assert (row["movement"], int(row["units"]), Decimal(row["price"])) == ("sale", 10, Decimal("86.27"))
    assert datetime.fromisoformat(row["event_time"]) == datetime(2026, 11, 27, 11, 34, 39, 314505)


def test_003_a_csv_through_the_gateway(world, api):
    """The CSV itself as the body of a request, in parts with the header before each."""
    header = ",".join(LINE)
    lines = [",".join((LINE | {"InvoiceNo": number}).values()) for number in ("930001", "930002")]
    post(
        api, "/events?feed=online_retail", content="\n".join([header, *lines, ""]), headers={"content-type": "text/csv"}
    )
    put(world, LINE | {"InvoiceNo": "930003"})
    check_lines(world, api, ["930001", "930002", "930003"])


def test_004_lines_of_a_csv_one_by_one(world, api):
    """csv.DictReader's rows, all of them texts: each a request, with the feed's name and without, or a record on the stream."""
    post(api, "/events?feed=online_retail", json=LINE | {"InvoiceNo": "940001"})
    post(api, "/events", json=LINE | {"InvoiceNo": "940002"})
    put(world, LINE | {"InvoiceNo": "940003"})
    check_lines(world, api, ["940001", "940002", "940003"])
