"""Tries a file under a contract: it is read and cleaned as if it were landed."""

from __future__ import annotations

import gzip
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ecommerce_elt.cleaning.cleaner import run_cleaning
from ecommerce_elt.cleaning.engine import engine_of
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.feeds.events import Envelopes
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.readings import read_files
from ecommerce_elt.settings import PROJECT_DIR, Settings

SENT_AT = "2026-01-01T00:00:00Z"
BLOCK_ROWS = 500
EXAMPLES = 1000


@dataclass
class Trial:
    """The result of cleaning a file.

    Attributes:
        rows: the number of rows that were cleaned.
        clean: the first EXAMPLES rows that break no rule, as dictionaries, in file order.
        rejected: the number of rows that break a rule, by column and rule.
        rejected_rows: the number of rows that break at least one rule.
    """

    rows: int = 0
    clean: list[dict[str, Any]] = field(default_factory=list)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected_rows: int = 0


def trial(
    path: Path, contract: Contract, flags: Flags | None = None, *, rows: int = 200_000, include: Path | None = None
) -> Trial:
    """Reads and cleans a file under a contract on this machine alone, and returns the result.

    Args:
        path: the file.
        contract: the contract.
        flags: properties of the file that cannot be detected.
        rows: the approximate number of rows of each file that are cleaned at most.
        include: the folder with the feed's SQL; that of the project by default.

    Raises:
        PermanentError: the file cannot be read under the contract.
    """
    made = Trial()
    config = Settings(
        bucket="trial",
        pii_hmac_key=SecretStr("a key of a trial, that no lake has"),
        include_dir=include or PROJECT_DIR / "include",
        clean_memory_bytes=1 << 30,
    )
    with tempfile.TemporaryDirectory(prefix="trial-") as name:
        folder = Path(name)
        readings = read_files(path, contract, flags or Flags(), folder).whole(path).files
        files = {}
        for number, reading in enumerate(readings):
            file = folder / f"{number}.jsonl.gz"
            envelopes = Envelopes(reading.survey.keys, feed=contract.feed, version=contract.version)
            with gzip.open(file, "wb", 1) as out:
                for block in islice(reading.file.blocks(reading.survey, BLOCK_ROWS), rows // BLOCK_ROWS + 1):
                    ids = [f"{number}-{line}".encode() for line in block.lines]
                    out.write(reading.file.encoded(block, ids, envelopes, SENT_AT))
            files[f"raw/feed={contract.feed}/dt=2026-01-01/hour=00/{number}.jsonl.gz"] = file
        with engine_of(config, folder) as engine:
            run_cleaning(engine, files, contract.feed, contract, config)
            found = engine.execute(
                "SELECT * EXCLUDE (rejected_version, copy_number) FROM cleaned ORDER BY source_object, source_line"
            )
            names = [column[0] for column in found.description or ()]
            while some := found.fetchmany(BLOCK_ROWS):
                for row in some:
                    record = dict(zip(names, row, strict=True))
                    made.rows += 1
                    if reasons := record.pop("reasons"):
                        made.rejected_rows += 1
                        made.rejected.update({(reason["column_name"], reason["rule"]) for reason in reasons})
                    elif len(made.clean) < EXAMPLES:
                        made.clean.append(record)
    return made
