"""to_dynamodb: the items of landed files are those that dynamodb_writer makes of the same lines on the stream."""

import json
from dataclasses import asdict
from decimal import Decimal

import pytest
from botocore.config import Config
from ecommerce_elt.cleaning import task_cleaning
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.landing import reports
from ecommerce_elt.landing import tasks as landing_tasks
from ecommerce_elt.load import batch_load, invoice_items

from tests.plugins.landing.test_replacing import COLUMN, Shop, a
from tests.support.landing_tasks import check_known_rows, replace_rows


class Items(Shop):
    """A shop whose runs write to DynamoDB."""

    def __init__(self, cloud, observer, config, monkeypatch):
        super().__init__(observer, config, monkeypatch)
        functions = cloud.client("lambda")
        clients = {"s3": self.s3, "sns": None, "lambda": functions}
        monkeypatch.setattr(task_cleaning, "client", lambda service, config=None: clients[service])
        monkeypatch.setattr(landing_tasks, "client", lambda service, config=None: clients[service])
        monkeypatch.setattr(batch_load, "client", lambda service, config=None: clients[service])
        self.functions, self.dynamodb = functions, observer.dynamodb

    def load_history(self, key, replace_by="", on_known="stop", *, to_dynamodb=True):
        group = self.land(key)
        landed = json.loads(json.dumps(asdict(group)))
        check_known_rows(landed, on_known, "auto")
        loaded = {b: batch_load.load_batch(b, on_known, to_dynamodb=to_dynamodb) for b in group.batches}
        replaced = replace_rows(landed, replace_by, dry_run=False, to_dynamodb=to_dynamodb)
        [found] = reports.report_loaded(self.s3, group, loaded, self.config, replaced)
        return found

    def items(self, invoice="A"):
        """Returns product to (lines, quantity, total) of the invoice."""
        found = self.dynamodb.query(
            TableName="ecommerce-invoices",
            KeyConditionExpression="InvoiceNo = :n",
            ConsistentRead=True,
            ExpressionAttributeValues={":n": {"S": self.invoice + invoice}},
        )["Items"]
        return {
            item["StockCode"]["S"]: (
                int(item["LineCount"]["N"]),
                int(item["Quantity"]["N"]),
                Decimal(item["Total"]["N"]),
            )
            for item in found
        }

    def in_core(self, invoice="A"):
        """Returns the same of core."""
        sql = (
            "SELECT stock_code, COUNT(*), SUM(quantity), SUM(amount) FROM core.fact_invoice_line "
            f"WHERE invoice_no = '{self.invoice}{invoice}' GROUP BY stock_code"
        )
        return {code: (int(n), int(q), Decimal(total)) for code, n, q, total in self.observer.warehouse.query(sql)}


@pytest.fixture
def shop(cloud, observer, config, monkeypatch):
    return Items(cloud, observer, config, monkeypatch)


def test_items_have_what_core_has_also_after_rows_are_taken_out_and_come_back(shop):
    rows = [a(shop, n) for n in (1, 2, 4, 7, 10)]
    first = shop.export(*rows, a(shop, 1), a(shop, 4, quantity="x"))
    assert shop.load_history(first)["dynamodb_lines"] == 7
    assert shop.items() == shop.in_core() == {"85123A": (3, 3, Decimal("7.65")), "71053": (3, 3, Decimal("7.65"))}
    assert shop.load_history(first)["dynamodb_lines"] == 7  # again: nothing changes
    assert shop.items() == shop.in_core()
    shop.load_history(shop.export(*rows[:2], a(shop, 4, quantity=3), rows[4]), COLUMN)
    assert shop.items() == shop.in_core()
    assert shop.items()["85123A"][0] == 1  # line 1 was there twice, and 7 is gone
    shop.load_history(first)  # an older file
    assert shop.items() == shop.in_core()
    shop.load_history(shop.export(*rows))
    assert shop.items() == shop.in_core()


def test_a_file_that_is_loaded_already_and_rows_that_were_taken_out_before(shop):
    rows = [a(shop, n) for n in (1, 4, 7)]
    first, second = shop.export(*rows), shop.export(*rows[:2])
    assert "dynamodb_lines" not in shop.load_history(first, to_dynamodb=False)
    shop.load_history(second, COLUMN, to_dynamodb=False)
    assert shop.items() == {}
    shop.load_history(first)
    assert shop.items() == shop.in_core()


def test_rows_that_core_has_under_other_ids_are_not_given_twice(shop):
    ids = shop.stream(a(shop, 1), a(shop, 4))
    found = shop.load_history(shop.export(a(shop, 1), a(shop, 4), a(shop, 7)), on_known="skip")
    assert (found["dynamodb_lines"], len(ids)) == (1, 2)
    assert shop.items() == {"85123A": (1, 1, Decimal("2.55"))}  # the stream's own lines came past the Lambda


class Scripted:
    """The Lambda client, with answers of the test's own before the real ones."""

    def __init__(self, functions, answers):
        self.functions, self.answers, self.exceptions, self.given = functions, answers, functions.exceptions, []

    def invoke(self, **request):
        records = json.loads(request["Payload"])["Records"]
        self.given.append(len(records))
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer(records)
        return self.functions.invoke(**request)


def body(value):
    class Payload:
        def read(self):
            return json.dumps(value).encode()

    return Payload()


def test_what_is_throttled_comes_again_from_the_first_line_that_is_left(shop, monkeypatch):
    monkeypatch.setattr(invoice_items, "PAUSE_SECONDS", (0, 0))
    key = shop.export(*[a(shop, n) for n in (1, 2, 4)])
    group = shop.land(key)
    [batch_id] = group.batches
    batch_load.load_batch(batch_id, "stop")
    throttled = shop.functions.exceptions.TooManyRequestsException(
        {"Error": {"Code": "TooManyRequestsException"}}, "Invoke"
    )
    left = {"batchItemFailures": [{"itemIdentifier": "2"}]}
    client = Scripted(shop.functions, [throttled, lambda _: {"Payload": body(left)}])
    assert invoice_items.write(client, shop.s3, shop.observer.warehouse, batch_id, shop.config) == 3
    assert client.given == [3, 3, 2]
    refused = {"errorType": "PoisonRecord", "errorMessage": "sequence number 1: refused"}
    client = Scripted(shop.functions, [lambda _: {"Payload": body(refused), "FunctionError": "Unhandled"}])
    with pytest.raises(PermanentError, match="dynamodb-writer fails: PoisonRecord: sequence number 1: refused"):
        invoice_items.write(client, shop.s3, shop.observer.warehouse, batch_id, shop.config)
    client = Scripted(shop.functions, [throttled] * invoice_items.ATTEMPTS)
    with pytest.raises(TransientError, match="is throttled"):
        invoice_items.write(client, shop.s3, shop.observer.warehouse, batch_id, shop.config)


def test_one_answer_is_waited_for_longer_than_the_lambda_works():
    assert isinstance(batch_load.LAMBDA, Config)
    assert batch_load.LAMBDA.read_timeout > 120
