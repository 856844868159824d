"""Hours of arrival: green over what is right, red over every way in which layers can differ, with what differs by name."""

import gzip
from datetime import UTC, datetime, timedelta

import pytest
from ecommerce_elt.batches.manifests import OPEN, new_manifest, objects_in_notification
from ecommerce_elt.reconcile import arrivals
from ecommerce_elt.reconcile.hours import reconcile_hours
from ecommerce_elt.reconcile.stream import watch

from tests.plugins.cleaning.test_cleaning import LINE, MOVE
from tests.support.cleaning_bench import line
from tests.support.own_feed import BAD


def test_what_is_right_is_sealed_and_no_object_is_read_twice(shop, monkeypatch):
    shop.load([MOVE, BAD, MOVE], "a")
    shop.load([MOVE] * 2, "b", datetime.now(UTC))
    assert shop.hours()[1] == []
    [over, current] = shop.kept()
    assert over == (3, 3, 2, 1, 0, 1, 0, True, None)
    assert current[:7] == (2, 2, 2, 0, 0, 0, 0)
    assert current[7] is False  # more may come
    monkeypatch.setattr(arrivals.gzip, "open", None)  # nothing is read again
    assert shop.hours()[1] == []
    assert shop.days()[0] == {"feed": shop.name, "days": 1, "changed": 1, "outdated": 0, "differences": 0}
    assert shop.days()[0]["days"] == 0


def test_an_hour_that_is_sealed_is_counted_again_where_an_object_came_since(shop):
    shop.load([MOVE], "a")
    shop.hours()
    shop.load([MOVE, MOVE], "late")  # after an outage, by its hour of arrival
    assert shop.hours()[1] == []
    assert shop.kept() == [(3, 3, 3, 0, 0, 0, 0, True, None)]


def test_a_notification_that_was_lost_and_a_batch_that_is_stuck_are_told_apart(shop, cloud):
    shop.load([MOVE], "a")
    lost, open_ = shop.raw([MOVE], "lost"), shop.raw([MOVE], "open")
    manifest = new_manifest(shop.name, [open_], datetime.now(UTC))
    shop.put(f"manifests/{manifest.batch_id}.json", manifest.to_json())
    shop.put(OPEN + manifest.batch_id, b"")
    summary, found = shop.hours()
    assert found == [
        ("staging audit", "1 objects of raw/ in no batch", [lost.key]),
        ("staging audit", "1 objects of raw/ in a batch that does not get committed", [open_.key]),
    ]
    assert summary["waiting"] == 2
    # What was lost is announced as S3 would have announced it.
    assert shop.unclaimed == [lost]
    sqs = cloud.client("sqs")
    queue = sqs.create_queue(QueueName=shop.name)["QueueUrl"]
    config = shop.config.model_copy(update={"raw_objects_queue": shop.name})
    assert arrivals.announce(sqs, shop.unclaimed, config) == 1
    assert arrivals.announce(sqs, shop.unclaimed, config) == 0  # it waits there
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert objects_in_notification(message["Body"]) == [lost]
    assert shop.kept()[0][6:8] == (2, False)
    # What is on its way is no difference yet.
    patient = shop.config.model_copy(update={"reconcile_settle_minutes": 15})
    now = datetime.now(UTC)
    assert reconcile_hours(shop.s3, shop.target, shop.name, patient, now)[1] == []
    later = now + timedelta(minutes=40)
    [stuck] = watch(boto3_stub(), shop.s3, shop.config, later)
    assert (stuck.text, stuck.objects) == (
        "1 batches were claimed more than 30 minutes ago",
        [OPEN + manifest.batch_id],
    )


def boto3_stub():
    """A CloudWatch without metrics; the real one is asked in the other tests."""

    class NoMetrics:
        def get_metric_statistics(self, **_):
            return {"Datapoints": []}

    return NoMetrics()


def test_raw_that_lost_a_line_or_an_object_is_named(shop):
    key, other = shop.load([MOVE, MOVE], "a"), shop.load([MOVE], "b")
    shop.put(key, gzip.compress(line(shop.name, MOVE, "a-0") + b"\n"))
    shop.s3.delete_object(Bucket=shop.config.bucket, Key=other)
    assert shop.hours()[1] == [
        ("raw", "1 objects that were loaded are gone", [other]),
        ("staging audit", "1 objects of which not all lines were accepted", [f"{key} (1 lines, 2 accepted)"]),
    ]


def test_an_hour_that_lost_all_its_objects_is_named(shop):
    key = shop.load([MOVE], "a", datetime.now(UTC))
    assert shop.hours()[1] == []  # not over, so not sealed
    shop.s3.delete_object(Bucket=shop.config.bucket, Key=key)
    assert shop.hours()[1] == [("raw", "1 objects that were loaded are gone", [key])]


def test_a_sealed_hour_that_lost_an_object_is_named(shop):
    kept, lost = shop.load([MOVE], "a"), shop.load([MOVE, BAD], "b")
    alone = shop.load([MOVE], "c", shop.hour - timedelta(hours=1))
    assert shop.hours()[1] == []
    assert [row[-2] for row in shop.kept()] == [True, True]
    for key in (lost, alone):
        shop.s3.delete_object(Bucket=shop.config.bucket, Key=key)
    gone = [("raw", "1 objects that were loaded are gone", [key]) for key in (alone, lost)]
    assert shop.hours()[1] == shop.hours()[1] == gone
    assert shop.s3.head_object(Bucket=shop.config.bucket, Key=kept)


def test_an_object_that_comes_while_an_hour_is_counted_is_not_missed(shop, monkeypatch):
    shop.load([MOVE], "a")
    listed = arrivals.objects_by_hour

    def then_one_more(*arguments):
        found = listed(*arguments)
        shop.load([MOVE, MOVE], "meanwhile")
        return found

    monkeypatch.setattr("ecommerce_elt.reconcile.hours.objects_by_hour", then_one_more)
    shop.hours()
    monkeypatch.setattr("ecommerce_elt.reconcile.hours.objects_by_hour", listed)
    assert shop.hours()[1] == []
    assert shop.kept() == [(3, 3, 3, 0, 0, 0, 0, True, None)]


def test_an_object_that_a_late_claim_put_into_a_second_batch_arrived_once(shop):
    records = [MOVE, MOVE, BAD]
    shop.load(records, "a")
    shop.load(records, "a", claimed_at=datetime.now(UTC) - timedelta(minutes=3))
    assert shop.hours()[1] == []
    assert shop.kept() == [(3, 3, 2, 1, 0, 1, 0, True, None)]


def test_quarantine_that_lost_a_row_is_named(shop):
    key = shop.load([BAD, BAD], "a")
    shop.target.run([f"DELETE FROM ops.quarantine_reason WHERE feed = '{shop.name}' AND event_id = 'a-1'"])
    assert shop.hours()[1] == [
        (
            "quarantine",
            "1 objects whose rejected events are not all in ops.quarantine_reason",
            [f"{key} (2 rejected, 1 there)"],
        )
    ]


def test_an_audit_that_was_altered_is_named(shop):
    shop.load([MOVE, MOVE], "a")
    shop.target.run([f"UPDATE ops.batch_audit SET accepted = 3 WHERE feed = '{shop.name}'"])
    [(where, text, _)] = shop.hours()[1]
    assert where == "staging audit"
    assert text.endswith("has 3 events, its objects have 2")


def test_a_feed_that_is_silent_too_long(shop):
    shop.load([MOVE], "a")
    contract = shop.config.include_dir / f"feeds/{shop.name}.yaml"
    contract.write_text(contract.read_text() + "max_silence_minutes: 30\n")
    assert shop.hours()[1] == []
    later = datetime.now(UTC) + timedelta(minutes=45)
    [difference] = reconcile_hours(shop.s3, shop.target, shop.name, shop.config, later)[1]
    assert difference.text == "nothing arrived for 45 minutes; the contract expects something every 30"


@pytest.mark.parametrize("feed", ["retail", "shop"])
def test_a_landed_file_whose_run_stopped_is_named_and_not_loaded_by_another_dag(feed, request):
    """load_events would load it without a look for rows that core has under other ids."""
    of = request.getfixturevalue(feed)
    raw = of.raw([LINE if feed == "retail" else MOVE], "landed-stopped")
    key = raw.key.replace(".jsonl.gz", ".ndjson.gz")
    of.put(key, of.s3.get_object(Bucket=raw.bucket, Key=raw.key)["Body"].read())
    of.s3.delete_object(Bucket=raw.bucket, Key=raw.key)
    text = "1 objects of landed files that are not loaded" if feed == "retail" else "1 objects of raw/ in no batch"
    assert of.hours()[1] == [("staging audit", text, [key])]
    # By the line of the file, whoever loads it, its events are the same.
    assert [raw.key for raw in of.unclaimed] == ([] if feed == "retail" else [key])
