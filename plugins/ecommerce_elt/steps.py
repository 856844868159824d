"""The tasks of the DAGs, each a function of ids: what runs between Airflow's wiring and the logic.

Airflow logs the whole chain of an error that a task ends with, so each lets out only what `values_withheld` does.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException
from pydantic import SecretStr

from ecommerce_elt import (
    alerts,
    batches,
    cleaning,
    erasure,
    erasure_items,
    history,
    known_rows,
    lake,
    lake_files,
    landing,
    lineage,
    listing,
    marts,
    reconcile,
    replay,
    warehouse,
)
from ecommerce_elt.batches import Engine
from ecommerce_elt.errors import PermanentError, values_withheld
from ecommerce_elt.feeds import QuarantineAlert, load_contracts
from ecommerce_elt.hmac_pads import secret_key
from ecommerce_elt.known_rows import OnKnown
from ecommerce_elt.lake_files import CleanBatch
from ecommerce_elt.links import touched_object, touched_table
from ecommerce_elt.settings import Settings, settings
from ecommerce_elt.tabular import Flags
from ecommerce_elt.task_clients import client, linked_warehouse, task_warehouse

log = logging.getLogger(__name__)


@values_withheld()
def claim_batches() -> list[str]:
    """Returns the ids of the batches to load in this run: those that dead runs left, and the new ones."""
    config = settings()
    s3, sqs = client("s3"), client("sqs")
    target = task_warehouse()
    claimed = batches.claim(
        s3,
        sqs,
        bucket=config.bucket,
        queue_url=sqs.get_queue_url(QueueName=config.raw_objects_queue)["QueueUrl"],
        max_objects=config.batch_max_objects,
        max_bytes=config.batch_max_bytes,
        retry_after=timedelta(seconds=config.open_batch_retry_seconds),
        loaded_keys=lambda feed, first, last: warehouse.loaded_keys(target, config.sql_dir, feed, first, last),
    )
    log.info(
        "batches=%s new_objects=%s known_objects=%s unreadable_messages=%s",
        len(claimed.batches), claimed.new_objects, claimed.known_objects, claimed.unreadable_messages,
    )  # fmt: skip
    return list(claimed.batches)


def _clean_batch(s3: Any, batch_id: str, config: Settings, *, committed: bool) -> CleanBatch:
    """Returns the counts of the batch's files, which it makes where they are not there.

    Also where an older contract or clean SQL made them, until the batch is committed with what they hold.
    """
    batch = lake_files.find_counts(s3, config.bucket, batch_id, batches.feed_of(batch_id))
    if batch and (committed or not cleaning.is_outdated(batch, config)):
        return batch
    if batch:
        log.info("the contract or the cleaning SQL changed since batch_id=%s was cleaned: cleaning it again", batch_id)
    lineage.moved([lineage.folder(reconcile.prefix_of(batches.feed_of(batch_id)))],
                  [lineage.folder(f"clean/feed={batches.feed_of(batch_id)}/")])  # fmt: skip
    return cleaning.clean_batch(s3, batches.read_manifest(s3, config.bucket, batch_id), _with_key(config))


def _with_key(config: Settings) -> Settings:
    """Returns the settings with the key of the HMAC, from Secrets Manager where they have none."""
    if config.pii_hmac_key.get_secret_value():
        return config
    key = secret_key(client("secretsmanager"), config.pii_hmac_secret)
    return config.model_copy(update={"pii_hmac_key": SecretStr(key)})


@values_withheld()
def load_batch(batch_id: str, on_known: str = "") -> dict[str, int]:
    """Cleans the batch where it is not cleaned, loads it in one transaction, publishes it in the lake and closes it.

    Returns its counts as committed.

    Args:
        on_known: of a batch of landed files, what becomes of rows that core has under other ids.
    """
    config, s3 = settings(), client("s3")
    skips = bool(on_known)
    skipped = known_rows.skipped_url(s3, batch_id, config.bucket) if on_known == OnKnown.SKIP else None
    touched_object(f"manifests/{batch_id}.json")
    with linked_warehouse() as target:
        before = warehouse.committed(target, batch_id, config)
        batch = _clean_batch(s3, batch_id, config, committed=before is not None)
        counts = before or warehouse.load_batch(target, batch, config, skips=skips, skipped=skipped)
        if batch.clean:  # else there is no file
            overlaps = counts["duplicates"] > batch.duplicates
            lists = lake.publish_batch(s3, target, batch, config, overlaps=overlaps, again=before is not None)
            log.info("published batch_id=%s days=%s overlaps=%s", batch.batch_id, lists, overlaps)
            touched_table(batch.feed)
            tables = load_contracts(config.include_dir / "feeds")[batch.feed].tables
            lineage.moved([lineage.folder(f"clean/feed={batch.feed}/")], map(lineage.table, tables))
        # Also of a batch that was committed before: the run that did may have died before it told.
        _alert_of_quarantine(target, batch, config)
        _tell_unknown_keys(s3, batch, config)
    batches.close_batch(s3, config.bucket, batch.batch_id)
    log.info("loaded batch_id=%s %s", batch.batch_id, " ".join(f"{k}={v}" for k, v in counts.items()))
    return counts


def _alert_of_quarantine(target: warehouse.Warehouse, batch: CleanBatch, config: Settings) -> None:
    contract = load_contracts(config.include_dir / "feeds").get(batch.feed)
    limits = contract.quarantine_alert if contract else QuarantineAlert()
    text, is_due = "", limits.is_due(batch.accepted, batch.quarantined)
    if is_due:
        sql = (config.sql_dir / "ops/quarantine_reason/top.sql").read_text("utf-8")
        reasons = "\n".join(f"{events} events: {column} {rule}, expected {expected}"
                            for column, rule, expected, events in target.query(sql, {"batch_id": batch.batch_id}))  # fmt: skip
        text = (f"Batch {batch.batch_id}: {batch.quarantined} of {batch.accepted} events are in quarantine.\n{reasons}\n"
                "What to do: docs/runbooks/events-in-quarantine.md")  # fmt: skip
    if is_due or batch.accepted >= limits.share_of_at_least:  # a batch of a few says nothing of the feed
        subject = f"{batch.feed}: {batch.quarantined} events in quarantine"
        alerts.tell(client("sns"), config, f"quarantine of {batch.feed}", subject, text, is_so=is_due)


def _tell_unknown_keys(s3: Any, batch: CleanBatch, config: Settings) -> None:
    """Reports once what the source sends and the contract does not know."""
    keys = lake_files.read_unknown_keys(s3, config.bucket, batch.batch_id)
    if not keys and batch.accepted < QuarantineAlert().share_of_at_least:
        return  # a batch of a few says nothing of the feed
    listed = ", ".join(f"{name[:64]!r} ({events} events)" for name, events in keys.items())
    if keys:
        log.warning(
            "feed=%s batch_id=%s keys that the contract does not know, kept in extra: %s",
            batch.feed,
            batch.batch_id,
            listed,
        )
    text = f"Batch {batch.batch_id}: {listed}. They are kept in the column extra.\nWhat to do: docs/runbooks/unknown-keys.md"
    subject = f"{batch.feed}: keys that the contract does not know"
    alerts.tell(client("sns"), config, f"unknown keys of {batch.feed}", subject, text, is_so=bool(keys))


@values_withheld()
def needs_glue(batch_id: str, engine: str = Engine.AUTO) -> bool:
    """Returns whether Glue is to clean the batch: by `engine`, or by its size where that is `auto`, and unless that is done."""
    config, s3, feed = settings(), client("s3"), batches.feed_of(batch_id)
    if feed not in load_contracts(config.include_dir / "feeds") or batch_id.endswith("-replay"):
        return False  # the job knows the feeds of the last deployment; what has no contract is rejected here
    if engine not in list(Engine):
        raise PermanentError(f"engine {engine!r}: expected one of {', '.join(Engine)}")
    if engine == Engine.AUTO:
        size = sum(raw.size for raw in batches.read_manifest(s3, config.bucket, batch_id).objects)
        engine = Engine.GLUE if size > config.glue_threshold_bytes else Engine.DUCKDB
    return engine == Engine.GLUE and lake_files.find_counts(s3, config.bucket, batch_id, feed) is None


# -- landing ----------------------------------------------------------------------------------------------------------


@values_withheld()
def find_landed_files() -> list[dict[str, Any]]:
    """Returns the runs that load the landed files without a report: trigger_run_id, and conf that names the files.

    Skips where there is none. Small files of a feed are in one run.
    """
    config = settings()
    found = landing.new_files(listing.objects(client("s3"), config.bucket, landing.LANDING))
    if not found:
        raise AirflowSkipException("no landed file is new")
    groups = landing.in_groups(found, config.landing_group_bytes)
    log.info("landed_files=%s runs=%s", [file.key for file in found], len(groups))
    return [{"trigger_run_id": _run_id_of(group), "conf": _conf_of(group)} for group in groups]


def _conf_of(group: list[landing.LandedFile]) -> dict[str, Any]:
    first, *more = ({"key": file.key, "etag": file.etag} for file in group)
    return {**first, "more": more} if more else first


def _files_of(conf: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns key and etag of the files that a run's parameters name; no etag is the file as it is."""
    return [(str(file["key"]), file["etag"]) for file in (conf, *(conf.get("more") or []))]


@values_withheld()
def settle_landed_files(runs: list[dict[str, Any]]) -> int:
    """Leaves a report for each file whose run left none, so that it is not found again; returns how many."""
    s3, bucket = client("s3"), settings().bucket
    return sum(
        history.report_unfinished(s3, landing.LandedFile(key, etag), run["trigger_run_id"], bucket)
        for run in runs
        for key, etag in _files_of(run["conf"])
    )


def _run_id_of(group: list[landing.LandedFile]) -> str:
    names = "\n".join(f"{file.key} {file.etag}" for file in group)
    return f"landed-{hashlib.sha256(names.encode()).hexdigest()[:24]}"


@values_withheld()
def land_files(params: dict[str, Any]) -> history.LandedGroup:
    """Makes raw objects and manifests of the files that the run's parameters name."""
    config = settings()
    contracts = load_contracts(config.include_dir / "feeds")
    flags = Flags(
        encoding=params["encoding"] or None, delimiter=params["delimiter"] or None, date_order=params["date_order"] or None,
        decimal_comma=params["decimal_comma"], sheet=params["sheet"] or None, columns=params["columns"],
        data_set=params["data_set"] or None, event_version=params["event_version"],
        identity=params["identity"] or None,
    )  # fmt: skip
    files = [(key, etag or None) for key, etag in _files_of(params)]
    if flags.data_set and len(files) > 1:
        raise PermanentError(f"data_set={flags.data_set!r} names the data of one file, and the run has {len(files)}")
    touched_object(files[0][0])
    return history.land_files(client("s3"), files, contracts, flags, config)


@values_withheld()
def check_known_rows(landed: dict[str, Any], on_known: str, engine: str) -> dict[str, int]:
    """Counts the rows of landed files that core has under other ids, and keeps the counts for the report.

    Args:
        landed: what land_files left.
        on_known: whether such rows stop the run, are skipped by the load, or are added.
        engine: as `needs_glue`.

    Raises:
        PermanentError: there are some, and `on_known` is stop.
    """
    config, s3, choice = settings(), client("s3"), OnKnown(on_known)
    group = history.LandedGroup.of(landed)
    if not group.batches:
        return {}
    contract = load_contracts(config.include_dir / "feeds")[history.feed_of(group.files[0].key)]
    if contract.identity == "file":
        return {}
    with linked_warehouse() as target:
        uncommitted = [b for b in group.batches if warehouse.committed(target, b, config) is None]
        if by_glue := [b for b in uncommitted if needs_glue(b, engine)]:
            if choice is OnKnown.ADD:
                return {}
            raise PermanentError(
                f"on_known {choice}: {len(by_glue)} batches are for Glue, and rows are looked for in core before it cleans. Trigger the "
                "run with engine duckdb, or with on_known add"
            )
        cleaned = [_clean_batch(s3, b, config, committed=b not in uncommitted) for b in group.batches]
        found = known_rows.find(s3, target, cleaned, uncommitted, contract, choice, config)
    total = (
        known_rows.Known(*(sum(each) for each in zip(*found.values(), strict=True))) if found else known_rows.Known()
    )
    log.info("feed=%s known=%s beside_known=%s on_known=%s", contract.feed, *total, choice)
    if total.known and choice is OnKnown.STOP:
        by_file = {
            file.key: sum(
                each.known
                for key, each in found.items()
                if key.startswith(tuple(part.raw_prefix for part in file.parts))
            )
            for file in group.files
        }
        named = ", ".join(f"{key}: {count:,}" for key, count in by_file.items() if count)
        raise PermanentError(
            f"{total.known:,} rows are in {contract.tables[0]} under other ids, sent by the shop itself or loaded before ids were made "
            f"of values ({named}). Nothing of this run is loaded. Trigger load_history with the same parameters and on_known: skip, "
            "which loads the others alone; or add, which has these rows twice. docs/overlapping-exports.md"
        )
    return total._asdict()


@values_withheld()
def report_files(landed: dict[str, Any] | None, loaded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Writes the report of each file of the run, and returns them without their lists of lines.

    Args:
        landed: what land_files left; None where no file could be read, and each has its report.
        loaded: id and counts of each batch that was loaded and published.

    Raises:
        PermanentError: a file, or a batch of it, was not loaded.
    """
    if landed is None:
        raise PermanentError("nothing was loaded: look at land_files")
    config = settings()
    group = history.LandedGroup.of(landed)
    reports = history.report_loaded(client("s3"), group, {batch["batch_id"]: batch for batch in loaded}, config)
    if group.files:
        touched_object(landing.LandedFile(group.files[0].key, group.files[0].etag).report_key)
    wrong = [f"{key}: it cannot be loaded" for key in group.failed]
    wrong += [
        f"{file.key}: {report['error']}" for file, report in zip(group.files, reports, strict=True) if "error" in report
    ]
    if wrong:
        raise PermanentError(
            f"{len(wrong)} of {len(group.failed) + len(reports)} files were not loaded; why is in the report beside each: "
            + "; ".join(wrong[: history.FILES_NAMED])
        )
    without = {"rejected", "members"}  # as long as the files
    return [{name: value for name, value in report.items() if name not in without} for report in reports]


# -- the lake -----------------------------------------------------------------------------------------------------------


@values_withheld()
def publish_tables() -> dict[str, int]:
    """Brings the catalog's tables of the feeds up to the lake, and returns table to new partitions."""
    feeds = load_contracts(settings().include_dir / "feeds")
    return lake.publish_tables(client("glue"), client("s3"), feeds, settings())


@values_withheld()
def has_table(name: str) -> bool:
    """Returns whether the lake's catalog has the table."""
    glue = client("glue")
    try:
        glue.get_table(DatabaseName=settings().lake_database, Name=name)
    except glue.exceptions.EntityNotFoundException:
        return False
    return True


@values_withheld()
def feeds() -> list[str]:
    """Returns the names of all feeds."""
    return list(load_contracts(settings().include_dir / "feeds"))


@values_withheld()
def compact_feed(feed: str) -> dict[str, Any]:
    """Compacts the days of one feed and returns what it did."""
    done = asdict(lake.compact_feed(client("s3"), feed, settings()))
    log.info("compacted %s", " ".join(f"{k}={v}" for k, v in done.items()))
    return done


@values_withheld()
def remove_superseded_files() -> int:
    """Deletes the files that compaction replaced before the grace period, and returns how many."""
    return lake.remove_superseded(client("s3"), settings())


@values_withheld()
def apply_retention() -> dict[str, int]:
    """Deletes what is past its retention, in the lake and in ops, and returns prefix to objects."""
    config = settings()
    warehouse.prune(task_warehouse(), config)
    return lake.apply_retention(client("s3"), config)


@values_withheld()
def upkeep_tables() -> list[str]:
    """Returns the tables of the warehouse that VACUUM and ANALYZE go through."""
    found = load_contracts(settings().include_dir / "feeds").values()
    facts = {table for contract in found for table in contract.tables}
    return sorted(
        facts | {mart.table for mart in marts.MARTS} | {"ops.batch_audit", "ops.batch_object", "ops.event_day"}
    )


@values_withheld()
def vacuum_and_analyze() -> list[str]:
    """Gives deleted rows' space back, sorts, and renews the statistics, table by table; returns the tables."""
    config, target = settings(), task_warehouse()
    for table in upkeep_tables():
        for name in ("vacuum", "analyze"):  # VACUUM refuses a transaction, so each is a statement of its own
            warehouse.run_file(target, config.sql_dir / f"ops/upkeep/{name}.sql", {"table": table})
    return upkeep_tables()


# -- quarantine -------------------------------------------------------------------------------------------------------


@values_withheld()
def choose_events(params: dict[str, Any], run_id: str, now: datetime) -> tuple[list[str], dict[str, Any]]:
    """Returns (ids of the batches to load, what is to be expected of them or was done); none in a dry run or dismissal."""
    config, s3, target = _with_key(settings()), client("s3"), task_warehouse()
    choice = replay.Choice.of(params)
    if params["action"] == "dismiss":
        found: dict[str, Any] = {"chosen": replay.count(target, choice, config)}
        if not params["dry_run"]:
            replay.dismiss(target, choice, config, run_id)
            found["dismissed"] = found["chosen"]
        log.info("%s", found)
        return [], found
    manifests, gone = replay.choose(s3, target, choice, config, now)
    if params["dry_run"]:
        outlook = asdict(replay.outlook(s3, manifests, gone, config))
        for example in outlook["examples"]:
            log.info("example %s", example)
        log.info("outlook %s", {name: value for name, value in outlook.items() if name != "examples"})
        return [], outlook
    log.info("batches=%s gone=%s", len(manifests), gone)
    return replay.write_manifests(s3, manifests, config), {"gone": gone}


@values_withheld()
def report_replay(outlook: dict[str, Any], loaded: list[dict[str, int]]) -> dict[str, Any]:
    """Returns what the replay did: events by accepted, clean, quarantined and duplicates, beside what was expected."""
    total = {name: sum(counts[name] for counts in loaded) for name in lake_files.COUNTS} if loaded else {}
    log.info("replayed %s", total)
    return outlook | total


# -- reconciliation ---------------------------------------------------------------------------------------------------


@values_withheld()
def reconcile_feeds() -> list[str]:
    """Returns the feeds whose layers are compared: all with a contract or with raw objects, and what is no envelope."""
    folders = listing.folders(client("s3"), settings().bucket, "raw/")
    arrived = {folder.removeprefix("raw/feed=").rstrip("/") for folder in folders}
    return [*sorted(arrived | set(feeds())), batches.UNREADABLE]


@values_withheld()
def reconcile_feed(feed: str) -> dict[str, Any]:
    """Compares the layers of one feed, and returns `hours` and `days`, what was compared, and `differences`."""
    config, s3, target, now = settings(), client("s3"), task_warehouse(), datetime.now(UTC)
    hours, found, unclaimed = reconcile.reconcile_hours(s3, target, feed, config, now)
    if unclaimed:
        log.error(
            "announced=%s of %s objects that no batch has",
            reconcile.announce(client("sqs"), unclaimed, config),
            len(unclaimed),
        )
    contract = load_contracts(config.include_dir / "feeds").get(feed)
    days: dict[str, Any] = {}
    if contract:
        days, more = reconcile.reconcile_days(s3, client("dynamodb"), target, contract, config, now)
        found += more
    for difference in found:
        log.error("%s", difference)
    log.info("hours %s days %s", hours, days)
    return {"hours": hours, "days": days, "differences": [asdict(d) for d in found]}


@values_withheld()
def judge(results: list[dict[str, Any]], *, complete: bool) -> dict[str, int]:
    """Looks at the stream and at what is late, publishes the metrics, and returns feed to differences: none.

    Args:
        results: of `reconcile_feed`.
        complete: all feeds were compared.

    Raises:
        PermanentError: names each difference.
    """
    config, cloudwatch, s3, now = settings(), client("cloudwatch"), client("s3"), datetime.now(UTC)
    found = [reconcile.Difference(**d) for result in results for d in result["differences"]]
    found += reconcile.reconcile_stream(cloudwatch, s3, task_warehouse(), reconcile_feeds(), config, now)
    found += reconcile.watch(cloudwatch, s3, config, now)
    reconcile.put_metrics(cloudwatch, [result["hours"] for result in results], found, config, now)
    if found:
        raise PermanentError("layers differ, docs/runbooks/layers-differ.md:\n" + "\n".join(map(str, found)))
    if not complete:
        raise PermanentError("not all feeds were compared: look at the red tasks")
    return {result["hours"]["feed"]: 0 for result in results}


# -- erasure ----------------------------------------------------------------------------------------------------------


def _customer(params: dict[str, Any]) -> erasure.Customer:
    return erasure.customer_of(str(params["feed"]), str(params["customer"]), settings())


def _layers(params: dict[str, Any], *, apply: bool) -> dict[str, int]:
    return erasure.erase_from_lake(
        client("s3"), task_warehouse(), _customer(params), _with_key(settings()), apply=apply
    )


@values_withheld()
def find_customer(params: dict[str, Any]) -> dict[str, int]:
    """Returns layer, or table of the warehouse, to what names the customer there. Changes nothing."""
    found = _layers(params, apply=False) | _items(params, apply=False)
    found |= erasure.count_in_warehouse(task_warehouse(), _customer(params), settings())
    log.info("found %s", " ".join(f"{layer}={count}" for layer, count in found.items()))
    return found


@values_withheld()
def erase_from_lake(params: dict[str, Any]) -> dict[str, int]:
    """Takes the customer out of the lake's objects, and returns layer to what named them."""
    return _layers(params, apply=True)


def _items(params: dict[str, Any], *, apply: bool) -> dict[str, int]:
    customer = _customer(params)
    if customer.feed != erasure.DELIVERED_FEED:
        return {}
    customers, invoices = (f"{settings().stack_prefix}-{table}" for table in ("customers", "invoices"))
    return erasure_items.erase_items(client("dynamodb"), customers, invoices, customer.name, apply=apply)


@values_withheld()
def erase_from_dynamodb(params: dict[str, Any]) -> dict[str, int]:
    """Takes the customer out of DynamoDB's items, and returns table to what named them."""
    return _items(params, apply=True)


@values_withheld()
def erase_from_warehouse(params: dict[str, Any]) -> None:
    """Takes the customer out of core, and marks the days that marts have to be built again for."""
    with linked_warehouse() as target:
        request = f"erasure {get_current_context()['run_id']}"[:128]
        erasure.erase_core(target, _customer(params), settings(), request=request)


@values_withheld()
def prove_erasure(params: dict[str, Any]) -> dict[str, int]:
    """Searches every layer again, and returns what it found: 0 everywhere, but for landed files that were never read.

    Raises:
        PermanentError: something still names the customer.
    """
    found = find_customer(params)
    if left := {layer: n for layer, n in found.items() if n and layer != "landed_files_unread"}:
        raise PermanentError(
            f"the customer is still named: {', '.join(f'{layer} {n}' for layer, n in left.items())}. Events that arrived "
            "since are one cause: trigger erase_customer again"
        )
    return found
