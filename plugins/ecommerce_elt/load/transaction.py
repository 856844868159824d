"""The load of a batch as one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ecommerce_elt.batches.clean_files import COUNTS, CleanBatch
from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, chosen, render, role_of, texts


@dataclass(frozen=True)
class Load:
    """One load of a batch. Its methods are the conditions under which statements are part of the transaction.

    Args:
        batch: the cleaned batch.
        contract: the contract of the batch's feed; None if the feed is unknown, in which case all events are
            quarantined.
        skips: whether events that core has under other ids may be left out.
        skipped: the URL of the ids of these events, if there are any.
        replaced: the URL of the values that the batch replaces, if there are any.
    """

    batch: CleanBatch
    contract: Contract | None
    skips: bool = False
    skipped: str | None = None
    replaced: str | None = None

    def always(self) -> bool:
        return True

    def has_feed(self) -> bool:
        return self.contract is not None

    def has_no_feed(self) -> bool:
        return self.contract is None

    def has_rows(self) -> bool:
        return self.has_feed() and self.batch.rows > 0  # COPY rejects a manifest without files

    def quarantines(self) -> bool:
        return self.batch.quarantined > 0

    def withdraws(self) -> bool:
        return self.has_feed() and self.batch.withdrawn > 0

    def replaces(self) -> bool:
        return self.has_feed() and bool(self.replaced)

    def may_skip(self) -> bool:
        return self.has_feed() and self.skips

    def has_skipped(self) -> bool:
        return self.may_skip() and bool(self.skipped)


KEEP_REPLACEMENTS = (
    "ops/keep_replacements/create_replacement_staged.sql",
    "ops/keep_replacements/copy_replacements.sql",
    "ops/keep_replacements/keep_replacements.sql",
)
MERGES = "unmerge.sql and merge.sql of each table of the contract"
# The transaction that loads a batch: its statements in order, each with the condition under which it is included.
LOAD: tuple[tuple[str, Callable[[Load], bool]], ...] = (
    ("ops/load/lock_staging.sql", Load.has_feed),
    ("ops/load/empty_staging.sql", Load.has_feed),
    ("ops/load/copy_events.sql", Load.has_rows),
    ("ops/load/create_batch_object_staged.sql", Load.always),
    ("ops/load/copy_batch_objects.sql", Load.always),
    ("ops/load/find_committed.sql", Load.always),
    ("ops/load/create_quarantine_staged.sql", Load.always),
    ("ops/load/copy_quarantine_rows.sql", Load.quarantines),
    ("ops/load/create_withdrawn_staged.sql", Load.has_feed),
    ("ops/load/copy_withdrawn_events.sql", Load.withdraws),
    ("ops/load/find_keys.sql", Load.has_feed),
    ("ops/load/add_withdrawn_keys.sql", Load.withdraws),
    ("ops/load/find_span.sql", Load.has_feed),
    ("ops/load/find_matched.sql", Load.has_feed),
    ("ops/load/match_withdrawn.sql", Load.has_feed),
    ("ops/load/find_replaced.sql", Load.has_feed),
    ("ops/load/add_withdrawn_rows.sql", Load.withdraws),
    ("ops/load/create_skipped.sql", Load.may_skip),
    ("ops/load/copy_skipped.sql", Load.has_skipped),
    ("ops/load/match_skipped.sql", Load.may_skip),
    ("ops/load/audit_batch.sql", Load.has_feed),
    ("ops/load/audit_rejected_batch.sql", Load.has_no_feed),
    ("ops/load/check_conservation.sql", Load.always),
    ("ops/load/keep_known_events.sql", Load.has_feed),
    ("ops/load/keep_corrections.sql", Load.has_feed),
    ("ops/load/keep_withdrawals.sql", Load.withdraws),
    *((path, Load.replaces) for path in KEEP_REPLACEMENTS),
    ("ops/load/keep_quarantine.sql", Load.always),
    ("ops/load/keep_batch_objects.sql", Load.always),
    ("ops/load/drop_replaced_events.sql", Load.has_feed),
    ("ops/load/drop_loaded_events.sql", Load.has_feed),
    ("ops/load/mark_stale_dates.sql", Load.has_feed),
    ("ops/load/close_replayed.sql", Load.has_feed),
    ("ops/load/close_known.sql", Load.has_feed),
    ("ops/load/keep_event_days.sql", Load.has_feed),
    (MERGES, Load.has_feed),
)


def load_statements(load: Load, settings: Settings) -> list[str]:
    """Returns the statements that load one batch: COPY to staging, audit, check, merge into core."""
    base = f"s3://{settings.bucket}/manifests/{load.batch.batch_id}"
    names = {
        "object_counts": f"{base}/objects.jsonl",
        "copy_manifest": f"{base}/copy.json",
        "quarantine_rows": f"{base}/quarantine/",
        "withdrawn_events": f"{base}/withdrawn/",
        "copy_role": role_of(settings),
    }
    if load.contract:
        names |= {"staging": load.contract.staging, "fact": load.contract.tables[0]}
    if load.replaced:
        names["replaced_values"] = load.replaced
    if load.skipped:
        names["known_prefix"] = load.skipped
    found: list[str] = []
    for path in chosen(LOAD, load):
        if path == MERGES:
            assert load.contract is not None
            found += [render(text, names) for text in feed_sql.merges(load.contract, settings.sql_dir)]
        else:
            found += texts(settings.sql_dir, [path], names)
    return found


def load_batch(
    target: Warehouse,
    batch: CleanBatch,
    settings: Settings,
    *,
    skips: bool = False,
    skipped: str | None = None,
    replaced: str | None = None,
) -> dict[str, int]:
    """Loads one cleaned batch in one transaction and returns its row of ops.batch_audit.

    A batch that is already committed is not changed; the row of its commit is returned.

    Args:
        target: the warehouse.
        batch: the cleaned batch.
        settings: the settings.
        skips, skipped, replaced: as in `Load`.

    Raises:
        PermanentError, TransientError: as in `Warehouse.run`. In this case no part of the batch is visible.
    """
    contract = load_contracts(settings.include_dir / "feeds").get(batch.feed)
    statements = load_statements(Load(batch, contract, skips, skipped, replaced), settings)
    target.run(statements, name=f"load {batch.batch_id}")
    counts = committed(target, batch.batch_id, settings)
    assert counts is not None
    return counts


def committed(target: Warehouse, batch_id: str, settings: Settings) -> dict[str, int] | None:
    """Returns the counts in the batch's row of ops.batch_audit (accepted, clean, ...), or None if there is no row."""
    audit = (settings.sql_dir / "ops/batch_audit/by_batch.sql").read_text("utf-8")
    rows = target.query(audit, {"batch_id": batch_id})
    return dict(zip(COUNTS, rows[0], strict=True)) if rows else None


def loaded_keys(target: Warehouse, sql_dir: Path, feed: str, first_key: str, last_key: str) -> set[str]:
    """Returns the raw keys of the feed, from first to last, that are in committed batches."""
    sql = (sql_dir / "ops/batch_object/loaded_keys.sql").read_text("utf-8")
    rows = target.query(sql, {"feed": feed, "first_key": first_key, "last_key": last_key})
    return {row[0] for row in rows}
