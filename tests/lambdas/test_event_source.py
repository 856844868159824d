"""The rules of event source mappings, which the local cloud and the tests of every consumer follow."""

from collections import Counter

import pytest

from local.event_source import METADATA_BYTES, PAYLOAD_MAX_BYTES, Rules
from tests.lambdas.event_source import Mapping, kinesis_record


def shard(count, keys=1):
    return [kinesis_record(b"x" * 10, i, key=f"key-{i % keys}") for i in range(count)]


def numbers(records):
    return [r["kinesis"]["sequenceNumber"] for r in records]


class Consumer:
    """Fails on some records, and keeps what it did."""

    def __init__(self, fails=lambda record, attempt: False, report=False):
        self.fails, self.report = fails, report
        self.seen, self.done, self.batches = Counter(), Counter(), []

    def __call__(self, event, context):
        self.batches.append(numbers(event["Records"]))
        for record in event["Records"]:
            number = record["kinesis"]["sequenceNumber"]
            self.seen[number] += 1
            if self.fails(record, self.seen[number]):
                if self.report:
                    return {"batchItemFailures": [{"itemIdentifier": number}]}
                raise RuntimeError("the function failed")
            self.done[number] += 1
        return None


def poison(records, index):
    number = records[index]["kinesis"]["sequenceNumber"]
    return lambda record, attempt: record["kinesis"]["sequenceNumber"] == number


def test_batches_are_in_order_and_of_the_size():
    consumer, records = Consumer(), shard(25)
    Mapping(consumer, batch_size=10).deliver(records)
    assert [len(b) for b in consumer.batches] == [10, 10, 5]
    assert [n for b in consumer.batches for n in b] == numbers(records)


def test_a_batch_fits_an_invocations_payload():
    records = [kinesis_record(b"x" * 1_000_000, i) for i in range(10)]
    consumer = Consumer()
    Mapping(consumer).deliver(records)
    assert [len(b) for b in consumer.batches] == [4, 4, 2]
    assert sum(len(r["kinesis"]["data"]) + METADATA_BYTES for r in records[:4]) <= PAYLOAD_MAX_BYTES


@pytest.mark.parametrize("takes_reports", [True, False])
def test_one_poison_record_is_given_up_and_all_others_are_done(takes_reports):
    records = shard(1000)
    consumer = Consumer(poison(records, 617))
    mapping = Mapping(consumer, maximum_retry_attempts=2, report_batch_item_failures=takes_reports)
    mapping.deliver(records)
    assert mapping.given_up == numbers(records)[617:618]
    assert mapping.discarded[0].condition == "RetryAttemptsExhausted"
    assert set(consumer.done) == set(numbers(records)) - {numbers(records)[617]}


def test_halving_takes_no_attempt():
    records = shard(64)
    consumer = Consumer(poison(records, 0))
    Mapping(consumer, maximum_retry_attempts=0).deliver(records)
    assert len(consumer.done) == 63


def test_without_halving_the_whole_batch_is_given_up():
    records = shard(10)
    mapping = Mapping(Consumer(poison(records, 3)), maximum_retry_attempts=2, bisect_batch_on_function_error=False)
    mapping.deliver(records)
    assert (mapping.invocations, mapping.given_up) == (3, numbers(records))


def test_a_report_brings_back_the_rest_only():
    records = shard(10)
    consumer = Consumer(lambda r, attempt: r["kinesis"]["sequenceNumber"] == numbers(records)[4] and attempt < 3, True)
    mapping = Mapping(consumer)
    mapping.deliver(records)
    assert [len(b) for b in consumer.batches] == [10, 6, 6]
    assert mapping.given_up == []
    assert max(consumer.done.values()) == 1


def test_what_is_reported_for_ever_is_given_up_with_what_follows_it():
    records = shard(10)
    mapping = Mapping(Consumer(poison(records, 4), report=True), maximum_retry_attempts=3)
    mapping.deliver(records)
    assert mapping.given_up == numbers(records)[4:]


def test_an_unknown_identifier_fails_the_whole_batch():
    mapping = Mapping(
        lambda event, context: {"batchItemFailures": [{"itemIdentifier": ""}]},
        maximum_retry_attempts=1,
        bisect_batch_on_function_error=False,
    )
    records = shard(3)
    mapping.deliver(records)
    assert (mapping.invocations, mapping.given_up) == (2, numbers(records))


def test_reports_count_only_where_the_mapping_asks_for_them():
    records = shard(3)
    mapping = Mapping(Consumer(poison(records, 1), report=True), report_batch_item_failures=False)
    mapping.deliver(records)
    assert (mapping.invocations, mapping.given_up) == (1, [])


def test_old_records_are_given_up():
    records = shard(4)
    mapping = Mapping(Consumer(poison(records, 2), report=True), maximum_record_age_in_seconds=60)
    mapping.delivery.now = lambda: records[0]["kinesis"]["approximateArrivalTimestamp"] + 61
    mapping.deliver(records)
    assert mapping.given_up == numbers(records)[2:]
    assert mapping.discarded[0].condition == "RecordAgeExpired"


def test_parallel_batches_keep_the_order_of_each_key():
    records = shard(500, keys=20)
    consumer = Consumer()
    Mapping(consumer, batch_size=50, parallelization_factor=4).deliver(records)
    assert set(consumer.done) == set(numbers(records))
    key_of = {r["kinesis"]["sequenceNumber"]: r["kinesis"]["partitionKey"] for r in records}
    for key in set(key_of.values()):
        seen = [n for batch in consumer.batches for n in batch if key_of[n] == key]
        assert seen == sorted(seen)


def test_the_rules_come_from_the_mappings_description():
    described = {
        "BatchSize": "7",
        "MaximumRetryAttempts": 3,
        "BisectBatchOnFunctionError": "true",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ParallelizationFactor": 2,
    }
    assert Rules.of(described) == Rules(7, 3, -1, True, True, 2)
