"""Claims against real S3 and SQS of the local cloud."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from ecommerce_elt.batches import manifests
from ecommerce_elt.batches.manifests import RawObject, claim, new_manifest, objects_in_notification, read_manifest
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.load import tasks
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def key(feed: str, number: int) -> str:
    return f"raw/feed={feed}/dt=2026-01-01/hour=00/shard-{number:04d}-{number:04d}.jsonl.gz"


def notification(bucket: str, *keys: str, size: int = 10) -> str:
    records = [
        {
            "s3": {
                "bucket": {"name": bucket},
                "object": {"key": k.replace("=", "%3D"), "eTag": f"etag-{k[-13:-9]}", "size": size},
            }
        }
        for k in keys
    ]
    return json.dumps({"Records": records})


class Bench:
    """A bucket and a queue of the test's own."""

    def __init__(self, observer, bucket):
        self.s3, self.sqs, self.bucket = observer.s3, observer.sqs, bucket
        self.url = self.sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}", Attributes={"VisibilityTimeout": "1"})[
            "QueueUrl"
        ]
        self.loaded: set[str] = set()

    def announce(self, *keys, **kwargs):
        self.sqs.send_message(QueueUrl=self.url, MessageBody=notification(self.bucket, *keys, **kwargs))

    def claim(self, sqs=None, max_objects=1000, max_bytes=10**9, retry_after=timedelta(0)):
        def later():
            return datetime.now(UTC) + timedelta(seconds=1)  # S3 cuts its times to seconds

        return claim(
            self.s3,
            sqs or self.sqs,
            bucket=self.bucket,
            queue_url=self.url,
            max_objects=max_objects,
            max_bytes=max_bytes,
            retry_after=retry_after,
            loaded_keys=lambda feed, first, last: self.loaded,
            now=later,
        )

    def waiting(self):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[n]) for n in names)


@pytest.fixture
def bench(observer, bucket):
    return Bench(observer, bucket)


def test_a_claim_makes_one_batch_a_feed_and_empties_the_queue(bench):
    for number in range(25):
        bench.announce(key("purchases", number), key("online_retail", number))
    claimed = bench.claim()
    assert [manifests.feed_of(b) for b in claimed.batches] == ["online_retail", "purchases"]
    assert (claimed.new_objects, claimed.known_objects, bench.waiting()) == (50, 0, 0)
    manifest = read_manifest(bench.s3, bench.bucket, claimed.batches[1])
    assert [o.key for o in manifest.objects] == [key("purchases", n) for n in range(25)]
    assert manifest.objects[3] == RawObject(key("purchases", 3), "etag-0003", 10, bench.bucket)


def test_the_manifest_is_there_before_a_message_is_deleted(bench):
    bench.announce(key("purchases", 1))

    class DyingQueue:
        def __getattr__(self, name):
            return getattr(bench.sqs, name)

        def delete_message_batch(self, **kwargs):
            raise ConnectionError("killed between the manifest and the deletion")

    with pytest.raises(ConnectionError):
        bench.claim(sqs=DyingQueue())
    assert bench.waiting() == 1
    [left] = manifests.open_batches(bench.s3, bench.bucket)
    again = bench.claim()
    assert again.batches == (left,)


def test_messages_that_come_back_do_not_make_a_second_batch(bench):
    bench.announce(key("purchases", 1))
    [first] = bench.claim().batches
    bench.announce(key("purchases", 1))
    again = bench.claim()
    assert (again.batches, again.new_objects, again.known_objects) == ((first,), 0, 1)


def test_a_batch_that_keeps_failing_waits_for_its_turn(bench):
    bench.announce(key("purchases", 1))
    [batch] = bench.claim().batches
    bench.announce(key("product_events", 1), key("purchases", 1))
    meanwhile = bench.claim(retry_after=timedelta(minutes=5))
    assert [manifests.feed_of(b) for b in meanwhile.batches] == ["product_events"]
    assert meanwhile.known_objects == 1
    assert batch in bench.claim().batches


def test_objects_of_committed_batches_are_not_claimed_again(bench):
    bench.loaded = {key("purchases", 1)}
    bench.announce(key("purchases", 1), key("purchases", 2))
    claimed = bench.claim()
    assert (claimed.new_objects, claimed.known_objects) == (1, 1)
    [batch] = claimed.batches
    assert [o.key for o in read_manifest(bench.s3, bench.bucket, batch).objects] == [key("purchases", 2)]


def test_a_closed_batch_is_not_taken_up(bench):
    bench.announce(key("purchases", 1))
    [batch] = bench.claim().batches
    manifests.close_batch(bench.s3, bench.bucket, batch)
    manifests.close_batch(bench.s3, bench.bucket, batch)
    assert bench.claim().batches == ()


@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [
        pytest.param({"max_objects": 5}, 5, 14, id="objects"),
        pytest.param({"max_bytes": 300}, 3, 12, id="bytes"),
    ],
)
def test_limits_leave_the_rest_on_the_queue(bench, limits, least, most):
    for number in range(30):
        bench.announce(key("purchases", number), size=100)
    claimed = bench.claim(**limits)
    assert least <= claimed.new_objects <= most
    assert bench.waiting() == 30 - claimed.new_objects


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("no json", id="no_json"),
        pytest.param("[]", id="a_list"),
        pytest.param('{"Records": [{}]}', id="no_s3_record"),
        pytest.param(notification("b", "clean/feed=x/a.parquet"), id="key_outside_raw"),
    ],
)
def test_a_message_that_is_no_notification_stays_for_the_dead_letter_queue(bench, body):
    bench.sqs.send_message(QueueUrl=bench.url, MessageBody=body)
    bench.announce(key("purchases", 1))
    claimed = bench.claim()
    assert (claimed.new_objects, claimed.unreadable_messages, bench.waiting()) == (1, 1, 1)
    with pytest.raises(PermanentError):
        objects_in_notification(body)


def test_a_claim_receives_no_message_while_the_warehouse_is_down(bench, config, monkeypatch):
    class Down:
        def query(self, *args):
            raise TransientError("the warehouse does not answer")

    names = {"bucket": bench.bucket, "raw_objects_queue": bench.url.rsplit("/", 1)[1]}
    monkeypatch.setattr(tasks, "settings", lambda: config.model_copy(update=names))
    monkeypatch.setattr(tasks, "client", lambda service: getattr(bench, service))
    monkeypatch.setattr(tasks, "task_warehouse", Down)
    bench.announce(key("purchases", 1))
    with pytest.raises(TransientError):
        tasks.claim_batches.function()
    received = bench.sqs.receive_message(QueueUrl=bench.url, AttributeNames=["ApproximateReceiveCount"])["Messages"]
    assert [message["Attributes"]["ApproximateReceiveCount"] for message in received] == ["1"]


def test_s3s_test_event_is_taken_off_the_queue(bench):
    bench.sqs.send_message(QueueUrl=bench.url, MessageBody='{"Service": "Amazon S3", "Event": "s3:TestEvent"}')
    assert bench.claim().batches == ()
    assert bench.waiting() == 0


def test_the_batch_id_depends_on_the_objects_and_not_on_their_order():
    one, two = RawObject(key("f", 1), "a", 1, "b"), RawObject(key("f", 2), "b", 1, "b")
    assert new_manifest("f", [one, two], NOW) == new_manifest("f", [two, one], NOW)
    assert new_manifest("f", [one], NOW).batch_id != new_manifest("f", [two], NOW).batch_id


def test_a_text_that_is_no_batch_id_is_refused():
    with pytest.raises(PermanentError, match="expected <feed>-"):
        manifests.feed_of("../../secret")


@st.composite
def announcements(draw):
    """Messages of one to three objects each, in any order, some sent again; and how much each claim takes."""
    keys = [key(feed, number) for feed in ("online_retail", "purchases") for number in range(draw(st.integers(1, 8)))]
    order = draw(st.permutations([*keys, *draw(st.lists(st.sampled_from(keys), max_size=6))]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=len(order) - 1))) if len(order) > 1 else []
    messages = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    return keys, messages, draw(st.integers(1, 12)), draw(st.integers(0, len(messages)))


def test_any_order_split_and_repetition_of_notifications_puts_each_object_in_one_batch(observer):
    @hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(announcements())
    def each_once(drawn):
        keys, messages, most, first = drawn
        observer.s3.create_bucket(Bucket=(name := f"test-{uuid.uuid4().hex[:12]}"))
        bench = Bench(observer, name)
        found: list[str] = []

        def claim_all():
            while bench.waiting():
                claimed = bench.claim(max_objects=most, retry_after=timedelta(days=1))
                batch_ids = [b for b in claimed.batches if b not in found]
                found.extend(batch_ids)

        for message in messages[:first]:
            bench.announce(*message)
        claim_all()
        for message in messages[first:]:
            bench.announce(*message)
        claim_all()
        objects = [o.key for b in found for o in read_manifest(bench.s3, name, b).objects]
        assert sorted(objects) == sorted(keys)

    each_once()
