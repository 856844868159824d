"""The JSON API of AWS Glue with crawlers and jobs. Calls of the Data Catalog are forwarded to MiniStack."""

from __future__ import annotations

import json
import logging
import re
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from local.glue.crawler import Counts, Crawl, CrawlFailed
from local.glue.jobs import JobFailed, JobProcess, JobStopped, now
from local.glue.search import search
from local.protocol import ApiError, JsonService

log = logging.getLogger("glue")

CATALOG = re.compile(r"Database|Table|Partition|ColumnStatistics|UserDefinedFunction|Tag")
TIMEOUT_MINUTES = 480  # of Glue 5: StartJobRun, Glue API reference
ENDED = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"}


class Glue(JsonService):
    """Crawlers, jobs and their runs. Their definitions and histories are stored in a file.

    Args:
        state_file: stores crawlers, jobs, crawls and runs across restarts.
        logs: folder of the logs of job runs.
        catalog_url: URL of MiniStack, which stores the Data Catalog.
    """

    def __init__(self, state_file: Path, logs: Path, catalog_url: str) -> None:
        super().__init__("glue", "AWS Glue")
        self.file, self.logs = state_file, logs
        self.s3 = boto3.client("s3", config=Config(max_pool_connections=16))
        self.catalog = boto3.client("glue", endpoint_url=catalog_url)
        self.lock = threading.RLock()
        self.pool = ThreadPoolExecutor(8, "glue")
        self.processes: dict[str, JobProcess] = {}
        kept = json.loads(state_file.read_text()) if state_file.exists() else {}
        self.crawlers: dict[str, dict[str, Any]] = kept.get("crawlers", {})
        self.crawls: dict[str, list[dict[str, Any]]] = kept.get("crawls", {})
        self.jobs: dict[str, dict[str, Any]] = kept.get("jobs", {})
        self.runs: dict[str, dict[str, dict[str, Any]]] = kept.get("runs", {})
        self._end_lost()
        names = [
            "CreateCrawler",
            "UpdateCrawler",
            "DeleteCrawler",
            "GetCrawler",
            "GetCrawlers",
            "ListCrawlers",
            "StartCrawler",
            "GetCrawlerMetrics",
            "ListCrawls",
            "CreateJob",
            "UpdateJob",
            "DeleteJob",
            "GetJob",
            "GetJobs",
            "ListJobs",
            "StartJobRun",
            "GetJobRun",
            "GetJobRuns",
            "BatchStopJobRun",
            "SearchTables",
        ]
        self.operations = {
            name: self._forwarded(name) for name in self.model.operation_names if CATALOG.search(name)
        } | {name: getattr(self, xform_name(name)) for name in names}

    def close(self) -> None:
        """Ends the runs of jobs; their state is FAILED when the stand-in starts again."""
        for process in list(self.processes.values()):
            process.stop()
        self.pool.shutdown(wait=False, cancel_futures=True)

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

    def _save(self) -> None:
        with self.lock:
            kept = {"crawlers": self.crawlers, "crawls": self.crawls, "jobs": self.jobs, "runs": self.runs}
            part = self.file.with_suffix(".part")
            part.write_text(json.dumps(kept))
            part.replace(self.file)

    def _forwarded(self, operation: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        call = getattr(self.catalog, xform_name(operation))

        def forward(request: dict[str, Any]) -> dict[str, Any]:
            try:
                found = call(**request)
            except ClientError as error:
                raise ApiError(error.response["Error"]["Code"], error.response["Error"]["Message"]) from error
            found.pop("ResponseMetadata", None)
            return dict(json.loads(json.dumps(found, default=_seconds)))

        return forward

    def search_tables(self, r: dict[str, Any]) -> dict[str, Any]:
        databases = self._forwarded("GetDatabases")({})["DatabaseList"]
        tables = self._forwarded("GetTables")
        return search([t for database in databases for t in tables({"DatabaseName": database["Name"]})["TableList"]], r)

    # -- crawlers -------------------------------------------------------------------------------------------------

    def _crawler(self, name: str) -> dict[str, Any]:
        if name not in self.crawlers:
            raise ApiError("EntityNotFoundException", f"Crawler entry with name {name} does not exist")
        return self.crawlers[name]

    def create_crawler(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            if r["Name"] in self.crawlers:
                raise ApiError("AlreadyExistsException", f"Crawler with name {r['Name']} already exists")
            self._define(r, {"State": "READY", "CreationTime": now(), "Version": 0})
        return {}

    def update_crawler(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
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
        self.crawlers[r["Name"]] = old | new | {"LastUpdated": now(), "Version": old["Version"] + 1}
        self._save()

    def delete_crawler(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            if self._crawler(r["Name"])["State"] != "READY":
                raise ApiError("CrawlerRunningException", f"Crawler with name {r['Name']} is running")
            del self.crawlers[r["Name"]]
            self.crawls.pop(r["Name"], None)
            self._save()
        return {}

    def _shown_crawler(self, name: str) -> dict[str, Any]:
        crawler = self._crawler(name)
        since = crawler.get("StartedAt", 0) if crawler["State"] != "READY" else 0
        shown = {k: v for k, v in crawler.items() if k != "StartedAt"}
        return shown | {"CrawlElapsedTime": int((time.time() - since) * 1000) if since else 0}

    def get_crawler(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"Crawler": self._shown_crawler(r["Name"])}

    def get_crawlers(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"Crawlers": [self._shown_crawler(name) for name in sorted(self.crawlers)]}

    def list_crawlers(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"CrawlerNames": sorted(self.crawlers)}

    def start_crawler(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            crawler = self._crawler(r["Name"])
            if crawler["State"] != "READY":
                raise ApiError("CrawlerRunningException", f"Crawler with name {r['Name']} has already started")
            crawler |= {"State": "RUNNING", "StartedAt": now()}
            self._save()  # a crawl that a restart interrupts has FAILED
        self.pool.submit(self._crawl, r["Name"])
        return {}

    def _crawl(self, name: str) -> None:
        crawler, began = self.crawlers[name], now()
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
        with self.lock:
            self.crawls.setdefault(name, []).append(_history(last, crawl.counts, now()))
            crawler |= {"State": "READY", "LastCrawl": last}
            self._save()

    def list_crawls(self, r: dict[str, Any]) -> dict[str, Any]:
        self._crawler(r["CrawlerName"])
        newest = list(reversed(self.crawls.get(r["CrawlerName"], [])))
        return {"Crawls": newest[: r.get("MaxResults", 20)]}

    def get_crawler_metrics(self, r: dict[str, Any]) -> dict[str, Any]:
        found = []
        for name in r.get("CrawlerNameList") or sorted(self.crawlers):
            state, past = self._crawler(name)["State"], self.crawls.get(name, [])
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

    # -- jobs -----------------------------------------------------------------------------------------------------

    def _job(self, name: str) -> dict[str, Any]:
        if name not in self.jobs:
            raise ApiError("EntityNotFoundException", f"Job with name: {name} not found.")
        return self.jobs[name]

    def create_job(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            if r["Name"] in self.jobs:
                raise ApiError("AlreadyExistsException", f"Job with name {r['Name']} already submitted")
            self._set_job(r["Name"], r, {"CreatedOn": now()})
        return {"Name": r["Name"]}

    def update_job(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self._set_job(r["JobName"], r["JobUpdate"], {"CreatedOn": self._job(r["JobName"])["CreatedOn"]})
        return {"JobName": r["JobName"]}

    def _set_job(self, name: str, r: dict[str, Any], kept: dict[str, Any]) -> None:
        if r["Command"].get("Name") != "glueetl":
            raise ApiError("InvalidInputException", f"Command {r['Command'].get('Name')}: the stand-in runs glueetl")
        self.jobs[name] = {k: v for k, v in r.items() if k != "Tags"} | kept | {"Name": name, "LastModifiedOn": now()}
        self._save()

    def delete_job(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self.jobs.pop(r["JobName"], None)  # Glue raises no exception if the job does not exist
            self._save()
        return {"JobName": r["JobName"]}

    def get_job(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"Job": self._job(r["JobName"])}

    def get_jobs(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"Jobs": [self.jobs[name] for name in sorted(self.jobs)]}

    def list_jobs(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"JobNames": sorted(self.jobs)}

    def start_job_run(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            job = self._job(r["JobName"])
            runs = self.runs.setdefault(r["JobName"], {})
            running = sum(run["JobRunState"] not in ENDED for run in runs.values())
            limit = job.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1)
            if running >= limit:
                raise ApiError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {r['JobName']}")
            run_id = f"jr_{uuid.uuid4().hex}"
            run = {
                "Id": run_id,
                "Attempt": 0,
                "JobName": r["JobName"],
                "StartedOn": now(),
                "LastModifiedOn": now(),
                "JobRunState": "STARTING",
                "Arguments": r.get("Arguments", {}),
                "PredecessorRuns": [],
                "Timeout": r.get("Timeout") or job.get("Timeout") or TIMEOUT_MINUTES,
                "LogGroupName": "/aws-glue/jobs",
                "GlueVersion": job.get("GlueVersion", "5.0"),
                "ExecutionTime": 0,
            }
            for key in ("WorkerType", "NumberOfWorkers"):
                if key in {*r, *job}:
                    run[key] = r.get(key, job.get(key))
            runs[run_id] = run
            self.processes[run_id] = JobProcess(self.s3, self.logs / f"glue-{run_id}.log")
            self._save()
        self.pool.submit(self._run_job, job, run)
        return {"JobRunId": run_id}

    def _run_job(self, job: dict[str, Any], run: dict[str, Any]) -> None:
        run["JobRunState"] = "RUNNING"
        arguments = {
            "--JOB_NAME": job["Name"],
            "--JOB_RUN_ID": run["Id"],
            **job.get("DefaultArguments", {}),
            **run["Arguments"],
        }
        ended: dict[str, Any] = {"JobRunState": "SUCCEEDED"}
        try:
            self.processes[run["Id"]].run(job["Command"]["ScriptLocation"], arguments, run["Timeout"] * 60)
        except JobFailed as error:
            ended = {"JobRunState": "FAILED", "ErrorMessage": str(error)}
        except JobStopped as error:
            ended = {"JobRunState": str(error)}
        except Exception as error:
            log.exception("run=%s", run["Id"])
            ended = {"JobRunState": "FAILED", "ErrorMessage": f"Internal service error: {error!r}"}
        log.info("run=%s %s", run["Id"], ended)
        with self.lock:
            self.processes.pop(run["Id"], None)
            run |= ended | {
                "CompletedOn": now(),
                "LastModifiedOn": now(),
                "ExecutionTime": int(now() - run["StartedOn"]),
            }
            self._save()

    def _run(self, job: str, run_id: str) -> dict[str, Any]:
        self._job(job)
        if run_id not in self.runs.get(job, {}):
            raise ApiError("EntityNotFoundException", f"JobRun with id: {run_id} not found.")
        return self.runs[job][run_id]

    def get_job_run(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"JobRun": dict(self._run(r["JobName"], r["RunId"]))}

    def get_job_runs(self, r: dict[str, Any]) -> dict[str, Any]:
        self._job(r["JobName"])
        newest = sorted(self.runs.get(r["JobName"], {}).values(), key=lambda run: -run["StartedOn"])
        return {"JobRuns": [dict(run) for run in newest[: r.get("MaxResults", 200)]]}

    def batch_stop_job_run(self, r: dict[str, Any]) -> dict[str, Any]:
        stopped, errors = [], []
        for run_id in r["JobRunIds"]:
            run = self._run(r["JobName"], run_id)
            if run["JobRunState"] in ENDED:
                reason = {"ErrorCode": "InvalidInputException", "ErrorMessage": f"run is {run['JobRunState']}"}
                errors.append({"JobName": r["JobName"], "JobRunId": run_id, "ErrorDetail": reason})
                continue
            run["JobRunState"] = "STOPPING"
            self.processes[run_id].stop()
            stopped.append({"JobName": r["JobName"], "JobRunId": run_id})
        return {"SuccessfulSubmissions": stopped, "Errors": errors}

    # -- pages ----------------------------------------------------------------------------------------------------

    def shown_run(self, run_id: str) -> dict[str, Any]:
        """Returns the content of the page of a job run."""
        for runs in self.runs.values():
            if run_id in runs:
                log_file = self.logs / f"glue-{run_id}.log"
                printed = log_file.read_text(errors="replace")[-20_000:] if log_file.exists() else ""
                return {**runs[run_id], "Log": printed}
        raise ApiError("EntityNotFoundException", f"JobRun with id: {run_id} not found.")

    def shown_table(self, name: str) -> dict[str, Any]:
        """Returns the content of the page of a table, named database.table."""
        database, _, table = name.partition(".")
        found = self._forwarded("GetTable")({"DatabaseName": database, "Name": table})["Table"]
        storage = found["StorageDescriptor"]
        kept = self._forwarded("GetPartitions")({"DatabaseName": database, "TableName": table})["Partitions"]
        columns = [*storage["Columns"], *found.get("PartitionKeys", [])]
        return {
            "Location": storage["Location"],
            "Columns": "\n".join(f"{c['Name']}  {c['Type']}" for c in columns),
            "Partitions": f"{len(kept)}, the last one {max((p['Values'] for p in kept), default=None)}",
            "Parameters": found.get("Parameters", {}),
        }


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


def _seconds(value: Any) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value)} is not JSON")
