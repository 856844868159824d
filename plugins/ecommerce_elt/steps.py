"""The tasks of the DAGs, each a function of ids: what runs between Airflow's wiring and the logic."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException
from pydantic import SecretStr

from ecommerce_elt import (
    alerts,
    batches,
    cleaning,
    dashboards,
    erasure,
    erasure_items,
    history,
    lake,
    lake_files,
    landing,
    lineage,
    listing,
    marts,
    reconcile,
    replay,
    tableau,
    warehouse,
)
from ecommerce_elt.batches import Engine
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import QuarantineAlert, load_contracts
from ecommerce_elt.hmac_pads import secret_key
from ecommerce_elt.lake_files import CleanBatch
from ecommerce_elt.links import touched_object, touched_statement, touched_table
from ecommerce_elt.settings import Settings, settings
from ecommerce_elt.tabular import Flags

log = logging.getLogger(__name__)


class _TaskHook(AwsBaseHook):
    """The provider's hook with one session for all clients of a task: each session reads botocore's data anew, 0.1 s."""

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        return _session(self.aws_conn_id, str(get_current_context()["ti"].id))


@lru_cache(maxsize=1)
def _session(connection: str, task_instance: str) -> Any:
    return AwsBaseHook(aws_conn_id=connection).get_session()


def _client(service: str) -> Any:
    """A boto3 client by the connection of the running DAG's stage, or by boto3's own variables where there is none."""
    connection = get_current_context()["dag"].default_args["aws_conn_id"]
    return _TaskHook(aws_conn_id=connection, client_type=service).conn


def _warehouse() -> warehouse.Warehouse:
    return warehouse.warehouse(_client("redshift-data"), settings())


@contextmanager
def _linked_warehouse() -> Iterator[warehouse.Warehouse]:
    """The warehouse; the task's link leads to the last statement that was submitted, also where it failed."""
    target = _warehouse()
    try:
        yield target
    finally:
        if target.statements:
            touched_statement(target.statements[-1])


def claim_batches() -> list[str]:
    """Returns the ids of the batches to load in this run: those that dead runs left, and the new ones."""
    config = settings()
    s3, sqs = _client("s3"), _client("sqs")
    target = _warehouse()
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
    key = secret_key(_client("secretsmanager"), config.pii_hmac_secret)
    return config.model_copy(update={"pii_hmac_key": SecretStr(key)})


def load_batch(batch_id: str) -> dict[str, int]:
    """Cleans the batch where it is not cleaned, loads it in one transaction, publishes it in the lake and closes it.

    Returns its counts as committed.
    """
    config, s3 = settings(), _client("s3")
    touched_object(f"manifests/{batch_id}.json")
    with _linked_warehouse() as target:
        before = warehouse.committed(target, batch_id, config)
        batch = _clean_batch(s3, batch_id, config, committed=before is not None)
        counts = before or warehouse.load_batch(target, batch, config)
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
        alerts.tell(_client("sns"), config, f"quarantine of {batch.feed}", subject, text, is_so=is_due)


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
    alerts.tell(_client("sns"), config, f"unknown keys of {batch.feed}", subject, text, is_so=bool(keys))


def needs_glue(batch_id: str, engine: str = Engine.AUTO) -> bool:
    """Returns whether Glue is to clean the batch: by `engine`, or by its size where that is `auto`, and unless that is done."""
    config, s3, feed = settings(), _client("s3"), batches.feed_of(batch_id)
    if feed not in load_contracts(config.include_dir / "feeds") or batch_id.endswith("-replay"):
        return False  # the job knows the feeds of the last deployment; what has no contract is rejected here
    if engine == Engine.AUTO:
        size = sum(raw.size for raw in batches.read_manifest(s3, config.bucket, batch_id).objects)
        engine = Engine.GLUE if size > config.glue_threshold_bytes else Engine.DUCKDB
    return engine == Engine.GLUE and lake_files.find_counts(s3, config.bucket, batch_id, feed) is None


# -- landing ----------------------------------------------------------------------------------------------------------


def find_landed_files() -> list[dict[str, Any]]:
    """Returns for each landed file without a report the run that loads it: trigger_run_id, and conf with key and etag.

    Skips where there is none.
    """
    found = landing.new_files(listing.objects(_client("s3"), settings().bucket, landing.LANDING))
    if not found:
        raise AirflowSkipException("no landed file is new")
    log.info("landed_files=%s", [file.key for file in found])
    return [{"trigger_run_id": _run_id_of(file), "conf": {"key": file.key, "etag": file.etag}} for file in found]


def settle_landed_files(runs: list[dict[str, Any]]) -> int:
    """Leaves a report for each file whose run left none, so that it is not found again; returns how many."""
    s3, bucket = _client("s3"), settings().bucket
    return sum(
        history.report_unfinished(s3, landing.LandedFile(**run["conf"]), run["trigger_run_id"], bucket) for run in runs
    )


def _run_id_of(file: landing.LandedFile) -> str:
    return f"landed-{hashlib.sha256(file.key.encode()).hexdigest()[:12]}-{file.etag[:12]}"


def land_file(params: dict[str, Any]) -> history.Landed:
    """Makes raw objects and manifests of the file that the run's parameters name."""
    config = settings()
    contracts = load_contracts(config.include_dir / "feeds")
    flags = Flags(
        encoding=params["encoding"] or None, delimiter=params["delimiter"] or None, date_order=params["date_order"] or None,
        decimal_comma=params["decimal_comma"], sheet=params["sheet"] or None, columns=params["columns"],
        data_set=params["data_set"] or None, event_version=params["event_version"],
    )  # fmt: skip
    key = str(params["key"])
    touched_object(key)
    return history.land_file(_client("s3"), key, contracts, flags, config, etag=params["etag"] or None)


def report_file(landed: dict[str, Any] | None, loaded: list[dict[str, int]]) -> dict[str, Any]:
    """Writes the report of the run's file, and returns it without its list of lines.

    Args:
        landed: what land_file left; None where it failed, and left a report itself.
        loaded: counts of each batch that was loaded and published.

    Raises:
        PermanentError: the file, or a batch of it, was not loaded.
    """
    if landed is None:
        raise PermanentError("the file was not loaded: look at land_file")
    config, file = settings(), history.Landed(**landed)
    report = history.report_loaded(_client("s3"), file, loaded, config)
    touched_object(landing.LandedFile(file.key, file.etag).report_key)
    if "error" in report:
        raise PermanentError(f"{file.key}: {report['error']}")
    return {name: value for name, value in report.items() if name != "rejected"}


# -- the lake -----------------------------------------------------------------------------------------------------------


def publish_tables() -> dict[str, int]:
    """Brings the catalog's tables of the feeds up to the lake, and returns table to new partitions."""
    feeds = load_contracts(settings().include_dir / "feeds")
    return lake.publish_tables(_client("glue"), _client("s3"), feeds, settings())


def has_table(name: str) -> bool:
    """Returns whether the lake's catalog has the table."""
    glue = _client("glue")
    try:
        glue.get_table(DatabaseName=settings().lake_database, Name=name)
    except glue.exceptions.EntityNotFoundException:
        return False
    return True


def feeds() -> list[str]:
    """Returns the names of all feeds."""
    return list(load_contracts(settings().include_dir / "feeds"))


def compact_feed(feed: str) -> dict[str, Any]:
    """Compacts the days of one feed and returns what it did."""
    done = asdict(lake.compact_feed(_client("s3"), feed, settings()))
    log.info("compacted %s", " ".join(f"{k}={v}" for k, v in done.items()))
    return done


def remove_superseded_files() -> int:
    """Deletes the files that compaction replaced before the grace period, and returns how many."""
    return lake.remove_superseded(_client("s3"), settings())


def apply_retention() -> dict[str, int]:
    """Deletes what is past its retention, in the lake and in ops, and returns prefix to objects."""
    config = settings()
    warehouse.prune(_warehouse(), config)
    return lake.apply_retention(_client("s3"), config)


def upkeep_tables() -> list[str]:
    """Returns the tables of the warehouse that VACUUM and ANALYZE go through."""
    found = load_contracts(settings().include_dir / "feeds").values()
    facts = {table for contract in found for table in contract.tables}
    return sorted(
        facts | {mart.table for mart in marts.MARTS} | {"ops.batch_audit", "ops.batch_object", "ops.event_day"}
    )


def vacuum_and_analyze() -> list[str]:
    """Gives deleted rows' space back, sorts, and renews the statistics, table by table; returns the tables."""
    config, target = settings(), _warehouse()
    for table in upkeep_tables():
        for name in ("vacuum", "analyze"):  # VACUUM refuses a transaction, so each is a statement of its own
            warehouse.run_file(target, config.sql_dir / f"ops/upkeep/{name}.sql", {"table": table})
    return upkeep_tables()


def find_stale_subjects(*, rebuild: bool) -> list[str]:
    """Returns the subjects whose marts are behind core, dimensions left out; skips the run where none is.

    Args:
        rebuild: marks every day of every mart first.
    """
    target, config = _warehouse(), settings()
    marts.register(target, config.sql_dir, load_contracts(config.include_dir / "feeds"), rebuild=rebuild)
    behind = marts.stale(target, config.sql_dir)
    log.info("stale_marts=%s", behind)
    subjects = dict.fromkeys(mart.subject for mart in marts.MARTS if mart.table in behind)
    if not subjects:
        raise AirflowSkipException("no mart is behind core")
    return [subject for subject in subjects if subject != marts.DIMENSIONS]


def build_dimensions() -> dict[str, Any]:
    """Brings the dimensions up to core, and returns what changed, by table."""
    return build_subject(marts.DIMENSIONS)


def build_subject(subject: str) -> dict[str, Any]:
    """Brings the marts of one subject up to core, and returns what changed, by mart. Alerts what the checks found."""
    try:
        with _linked_warehouse() as target:
            built = marts.build_subject(target, subject, settings().sql_dir)
    except marts.ChecksFailed as failed:
        subject = f"{failed.mart} was not published"
        alerts.tell(_client("sns"), settings(), f"checks of {failed.mart}", subject, str(failed), is_so=True)
        raise
    contracts = load_contracts(settings().include_dir / "feeds")
    sources = marts.tables_under([mart.mart for mart in built], contracts)
    lineage.moved(map(lineage.table, sources), (lineage.table(mart.mart) for mart in built))
    for mart in built:
        sns, warnings = _client("sns"), "\n".join(map(str, mart.warnings))
        alerts.tell(sns, settings(), f"checks of {mart.mart}", "", "", is_so=False)
        cause = f"warnings of {mart.mart}"
        alerts.tell(sns, settings(), cause, f"{mart.mart}: checks warn", warnings, is_so=bool(warnings))
    return marts.as_text(built)


def _published() -> dict[str, datetime]:
    sql = (settings().sql_dir / "ops/mart_build/published.sql").read_text("utf-8")
    return {mart: dashboards.utc(at) for mart, at, _ in _warehouse().query(sql)}


def _is_due(data_sets: Iterable[dashboards.DataSet], published: dict[str, datetime], last: datetime | None) -> bool:
    every = timedelta(minutes=settings().dashboard_refresh_minutes)
    return dashboards.due(dashboards.changed_at(data_sets, published), last, now=datetime.now(UTC), every=every)


def choose_data_sets() -> list[str]:
    """Returns the ids of the QuickSight data sets that are due for a refresh."""
    quicksight, published = _client("quicksight"), _published()
    account = _client("sts").get_caller_identity()["Account"]
    found = []
    for data_set in dashboards.DATA_SETS:
        name = data_set.physical_id(settings().stack_prefix)
        try:
            past = quicksight.list_ingestions(AwsAccountId=account, DataSetId=name, MaxResults=10)["Ingestions"]
        except quicksight.exceptions.ResourceNotFoundException:
            log.warning("data_set=%s is not in QuickSight; its task will say so, the others go on", name)
            past = []
        if _is_due([data_set], published, dashboards.last_refresh(past)):
            found.append(name)
    log.info("due=%s", found)
    return found


def extract_for_tableau() -> dict[str, int]:
    """Writes the extract to the lake, publishes it where a server is configured, and returns data set to rows.

    Skips the task where the extract is not due.
    """
    config, s3 = settings(), _client("s3")
    past = list(listing.objects(s3, config.bucket, tableau.KEY))
    if not _is_due(dashboards.DATA_SETS, _published(), past[0]["LastModified"] if past else None):
        raise AirflowSkipException("the extract is not due")
    with tempfile.TemporaryDirectory(dir=config.work_dir) as folder:
        file = Path(folder) / "ecommerce.hyper"
        rows = tableau.write_extract(_warehouse(), dashboards.DATA_SETS, config.sql_dir, file)
        if config.tableau_server:
            tableau.publish(file, config)
        s3.upload_file(str(file), config.bucket, tableau.KEY)  # last: a publication that failed is tried again
    touched_object(tableau.KEY)
    return rows


# -- quarantine -------------------------------------------------------------------------------------------------------


def choose_events(params: dict[str, Any], run_id: str, now: datetime) -> tuple[list[str], dict[str, Any]]:
    """Returns (ids of the batches to load, what is to be expected of them or was done); none in a dry run or dismissal."""
    config, s3, target = _with_key(settings()), _client("s3"), _warehouse()
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


def report_replay(outlook: dict[str, Any], loaded: list[dict[str, int]]) -> dict[str, Any]:
    """Returns what the replay did: events by accepted, clean, quarantined and duplicates, beside what was expected."""
    total = {name: sum(counts[name] for counts in loaded) for name in lake_files.COUNTS} if loaded else {}
    log.info("replayed %s", total)
    return outlook | total


# -- reconciliation ---------------------------------------------------------------------------------------------------


def reconcile_feeds() -> list[str]:
    """Returns the feeds whose layers are compared: all with a contract or with raw objects, and what is no envelope."""
    folders = listing.folders(_client("s3"), settings().bucket, "raw/")
    arrived = {folder.removeprefix("raw/feed=").rstrip("/") for folder in folders}
    return [*sorted(arrived | set(feeds())), batches.UNREADABLE]


def reconcile_feed(feed: str) -> dict[str, Any]:
    """Compares the layers of one feed, and returns `hours` and `days`, what was compared, and `differences`."""
    config, s3, target, now = settings(), _client("s3"), _warehouse(), datetime.now(UTC)
    hours, found, unclaimed = reconcile.reconcile_hours(s3, target, feed, config, now)
    if unclaimed:
        log.error(
            "announced=%s of %s objects that no batch has",
            reconcile.announce(_client("sqs"), unclaimed, config),
            len(unclaimed),
        )
    contract = load_contracts(config.include_dir / "feeds").get(feed)
    days: dict[str, Any] = {}
    if contract:
        days, more = reconcile.reconcile_days(s3, _client("dynamodb"), target, contract, config, now)
        found += more
    for difference in found:
        log.error("%s", difference)
    log.info("hours %s days %s", hours, days)
    return {"hours": hours, "days": days, "differences": [asdict(d) for d in found]}


def judge(results: list[dict[str, Any]], *, complete: bool) -> dict[str, int]:
    """Looks at the stream and at what is late, publishes the metrics, and returns feed to differences: none.

    Args:
        results: of `reconcile_feed`.
        complete: all feeds were compared.

    Raises:
        PermanentError: names each difference.
    """
    config, cloudwatch, s3, now = settings(), _client("cloudwatch"), _client("s3"), datetime.now(UTC)
    found = [reconcile.Difference(**d) for result in results for d in result["differences"]]
    found += reconcile.reconcile_stream(cloudwatch, s3, _warehouse(), reconcile_feeds(), config, now)
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
    return erasure.erase_from_lake(_client("s3"), _warehouse(), _customer(params), _with_key(settings()), apply=apply)


def find_customer(params: dict[str, Any]) -> dict[str, int]:
    """Returns layer, or table of the warehouse, to what names the customer there. Changes nothing."""
    found = _layers(params, apply=False) | _items(params, apply=False)
    found |= erasure.count_in_warehouse(_warehouse(), _customer(params), settings())
    log.info("found %s", " ".join(f"{layer}={count}" for layer, count in found.items()))
    return found


def erase_from_lake(params: dict[str, Any]) -> dict[str, int]:
    """Takes the customer out of the lake's objects, and returns layer to what named them."""
    return _layers(params, apply=True)


def _items(params: dict[str, Any], *, apply: bool) -> dict[str, int]:
    customer = _customer(params)
    if customer.feed != erasure.DELIVERED_FEED:
        return {}
    customers, invoices = (f"{settings().stack_prefix}-{table}" for table in ("customers", "invoices"))
    return erasure_items.erase_items(_client("dynamodb"), customers, invoices, customer.name, apply=apply)


def erase_from_dynamodb(params: dict[str, Any]) -> dict[str, int]:
    """Takes the customer out of DynamoDB's items, and returns table to what named them."""
    return _items(params, apply=True)


def erase_from_warehouse(params: dict[str, Any]) -> None:
    """Takes the customer out of core, and marks the days that marts have to be built again for."""
    with _linked_warehouse() as target:
        request = f"erasure {get_current_context()['run_id']}"[:128]
        erasure.erase_core(target, _customer(params), settings(), request=request)


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
