"""What the stand-in keeps of Glue, in a file: crawlers and jobs, and their histories."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from local.glue.jobs import now

ENDED = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"}


class State:
    """Crawlers and jobs by name, crawls by crawler, runs by job and id. What a restart interrupted has failed."""

    def __init__(self, file: Path) -> None:
        self.file, self.lock = file, threading.RLock()
        kept = json.loads(file.read_text()) if file.exists() else {}
        self.crawlers: dict[str, dict[str, Any]] = kept.get("crawlers", {})
        self.crawls: dict[str, list[dict[str, Any]]] = kept.get("crawls", {})
        self.jobs: dict[str, dict[str, Any]] = kept.get("jobs", {})
        self.runs: dict[str, dict[str, dict[str, Any]]] = kept.get("runs", {})
        self._end_lost()

    def _end_lost(self) -> None:
        for crawler in self.crawlers.values():
            if crawler["State"] != "READY":
                crawler["State"] = "READY"
                crawler["LastCrawl"] = {
                    **crawler.get("LastCrawl", {}),
                    "Status": "FAILED",
                    "ErrorMessage": "the local Glue was restarted",
                }
        for runs in self.runs.values():
            for run in runs.values():
                if run["JobRunState"] not in ENDED:
                    run |= {
                        "JobRunState": "FAILED",
                        "ErrorMessage": "the local Glue was restarted",
                        "CompletedOn": now(),
                    }

    def save(self) -> None:
        with self.lock:
            kept = {"crawlers": self.crawlers, "crawls": self.crawls, "jobs": self.jobs, "runs": self.runs}
            part = self.file.with_suffix(".part")
            part.write_text(json.dumps(kept))
            part.replace(self.file)
