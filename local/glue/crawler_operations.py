"""The operations on crawlers and their crawls."""

from __future__ import annotations

import json
import logging
import statistics
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from local.glue.crawler import Counts, Crawl, CrawlFailed
from local.glue.jobs import now
from local.glue.state import State
from local.protocol import ApiError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger("glue")


class Crawlers:
    """The crawlers of the state. `catalog` is a client of the Data Catalog."""

    def __init__(self, state: State, s3: S3Client, catalog: Any, pool: ThreadPoolExecutor) -> None:
        self.state, self.s3, self.catalog, self.pool = state, s3, catalog, pool

    def _crawler(self, name: str) -> dict[str, Any]:
        if name not in self.state.crawlers:
            raise ApiError("EntityNotFoundException", f"Crawler entry with name {name} does not exist")
        return self.state.crawlers[name]

    def create_crawler(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.state.lock:
            if r["Name"] in self.state.crawlers:
                raise ApiError("AlreadyExistsException", f"Crawler with name {r['Name']} already exists")
            self._define(r, {"State": "READY", "CreationTime": now(), "Version": 0})
        return {}

    def update_crawler(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.state.lock:
            old = self._crawler(r["Name"])
            if old["State"] != "READY":
                raise ApiError("CrawlerRunningException", f"Crawler with name {r['Name']} has already started")
            self._define(r, old)
        return {}

    def _define(self, r: dict[str, Any], old: dict[str, Any]) -> None:
        targets = r.get("Targets", old.get("Targets", {}))
        if set(targets) != {"S3Targets"}:
            raise ApiError("InvalidInputException", f"Targets {sorted(targets)}: the stand-in crawls S3Targets")
        new = {k: v for k, v in r.items() if k not in {"Tags", "Schedule"}}
        if "Schedule" in r:
            raise ApiError("InvalidInputException", "Schedule: the stand-in runs a crawler when StartCrawler is called")
        self.state.crawlers[r["Name"]] = old | new | {"LastUpdated": now(), "Version": old["Version"] + 1}
        self.state.save()

    def delete_crawler(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.state.lock:
            if self._crawler(r["Name"])["State"] != "READY":
                raise ApiError("CrawlerRunningException", f"Crawler with name {r['Name']} is running")
            del self.state.crawlers[r["Name"]]
            self.state.crawls.pop(r["Name"], None)
            self.state.save()
        return {}

    def _shown_crawler(self, name: str) -> dict[str, Any]:
        crawler = self._crawler(name)
        since = crawler.get("StartedAt", 0) if crawler["State"] != "READY" else 0
        shown = {k: v for k, v in crawler.items() if k != "StartedAt"}
        return shown | {"CrawlElapsedTime": int((time.time() - since) * 1000) if since else 0}

    def get_crawler(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"Crawler": self._shown_crawler(r["Name"])}

    def get_crawlers(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"Crawlers": [self._shown_crawler(name) for name in sorted(self.state.crawlers)]}

    def list_crawlers(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"CrawlerNames": sorted(self.state.crawlers)}

    def start_crawler(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.state.lock:
            crawler = self._crawler(r["Name"])
            if crawler["State"] != "READY":
                raise ApiError("CrawlerRunningException", f"Crawler with name {r['Name']} has already started")
            crawler |= {"State": "RUNNING", "StartedAt": now()}
            self.state.save()  # a crawl that a restart interrupts has FAILED
        self.pool.submit(self._crawl, r["Name"])
        return {}

    def _crawl(self, name: str) -> None:
        crawler, began = self.state.crawlers[name], now()
        crawl = Crawl(crawler, self.s3, self.catalog)
        last: dict[str, Any] = {
            "StartTime": began,
            "Status": "SUCCEEDED",
            "LogGroup": "/aws-glue/crawlers",
            "LogStream": name,
            "MessagePrefix": str(uuid.uuid4()),
        }
        try:
            crawl.run()
        except CrawlFailed as error:
            last |= {"Status": "FAILED", "ErrorMessage": str(error)}
        except Exception as error:
            log.exception("crawler=%s", name)
            last |= {"Status": "FAILED", "ErrorMessage": f"Internal Service Exception: {error!r}"}
        log.info(
            "crawler=%s status=%s objects=%s tables=%s partitions=%s seconds=%.1f %s",
            name,
            last["Status"],
            crawl.counts.objects,
            crawl.counts.tables,
            crawl.counts.partitions,
            now() - began,
            last.get("ErrorMessage", ""),
        )
        with self.state.lock:
            self.state.crawls.setdefault(name, []).append(_history(last, crawl.counts, now()))
            crawler |= {"State": "READY", "LastCrawl": last}
            self.state.save()

    def list_crawls(self, r: dict[str, Any]) -> dict[str, Any]:
        self._crawler(r["CrawlerName"])
        newest = list(reversed(self.state.crawls.get(r["CrawlerName"], [])))
        return {"Crawls": newest[: r.get("MaxResults", 20)]}

    def get_crawler_metrics(self, r: dict[str, Any]) -> dict[str, Any]:
        found = []
        for name in r.get("CrawlerNameList") or sorted(self.state.crawlers):
            state, past = self._crawler(name)["State"], self.state.crawls.get(name, [])
            seconds = [crawl["EndTime"] - crawl["StartTime"] for crawl in past]
            tables = json.loads(past[-1]["Summary"])["TABLE"] if past else {}
            found.append(
                {
                    "CrawlerName": name,
                    "TimeLeftSeconds": 0.0,
                    "StillEstimating": state != "READY",
                    "LastRuntimeSeconds": seconds[-1] if seconds else 0.0,
                    "MedianRuntimeSeconds": statistics.median(seconds) if seconds else 0.0,
                    "TablesCreated": tables.get("ADD", 0),
                    "TablesUpdated": tables.get("UPDATE", 0),
                    "TablesDeleted": tables.get("DELETE", 0),
                }
            )
        return {"CrawlerMetricsList": found}


def _history(last: dict[str, Any], counts: Counts, ended: float) -> dict[str, Any]:
    state = "COMPLETED" if last["Status"] == "SUCCEEDED" else last["Status"]
    message = {"ErrorMessage": last["ErrorMessage"]} if "ErrorMessage" in last else {}
    summary = json.dumps({"TABLE": counts.tables, "PARTITION": counts.partitions, "OBJECTS": counts.objects})
    return {
        "CrawlId": str(uuid.uuid4()),
        "State": state,
        "StartTime": last["StartTime"],
        "EndTime": ended,
        "Summary": summary,
        **message,
    }
