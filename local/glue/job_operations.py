"""The operations on jobs and their runs."""

from __future__ import annotations

import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.glue.jobs import JobFailed, JobProcess, JobStopped, now
from local.glue.state import ENDED, State
from local.protocol import ApiError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger("glue")

TIMEOUT_MINUTES = 480  # of Glue 5: StartJobRun, Glue API reference


class Jobs:
    """The jobs of the state, with the processes of their runs. `logs` is the folder of what the runs print."""

    def __init__(self, state: State, s3: S3Client, logs: Path, pool: ThreadPoolExecutor) -> None:
        self.state, self.s3, self.logs, self.pool = state, s3, logs, pool
        self.processes: dict[str, JobProcess] = {}

    def close(self) -> None:
        """Ends the runs; their state is FAILED when the stand-in starts again."""
        for process in list(self.processes.values()):
            process.stop()

    def _job(self, name: str) -> dict[str, Any]:
        if name not in self.state.jobs:
            raise ApiError("EntityNotFoundException", f"Job with name: {name} not found.")
        return self.state.jobs[name]

    def create_job(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.state.lock:
            if r["Name"] in self.state.jobs:
                raise ApiError("AlreadyExistsException", f"Job with name {r['Name']} already submitted")
            self._set_job(r["Name"], r, {"CreatedOn": now()})
        return {"Name": r["Name"]}

    def update_job(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.state.lock:
            self._set_job(r["JobName"], r["JobUpdate"], {"CreatedOn": self._job(r["JobName"])["CreatedOn"]})
        return {"JobName": r["JobName"]}

    def _set_job(self, name: str, r: dict[str, Any], kept: dict[str, Any]) -> None:
        if r["Command"].get("Name") != "glueetl":
            raise ApiError("InvalidInputException", f"Command {r['Command'].get('Name')}: the stand-in runs glueetl")
        self.state.jobs[name] = (
            {k: v for k, v in r.items() if k != "Tags"} | kept | {"Name": name, "LastModifiedOn": now()}
        )
        self.state.save()

    def delete_job(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.state.lock:
            self.state.jobs.pop(r["JobName"], None)  # Glue raises no exception if the job does not exist
            self.state.save()
        return {"JobName": r["JobName"]}

    def get_job(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"Job": self._job(r["JobName"])}

    def get_jobs(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"Jobs": [self.state.jobs[name] for name in sorted(self.state.jobs)]}

    def list_jobs(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"JobNames": sorted(self.state.jobs)}

    def start_job_run(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.state.lock:
            job = self._job(r["JobName"])
            runs = self.state.runs.setdefault(r["JobName"], {})
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
            self.state.save()
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
        with self.state.lock:
            self.processes.pop(run["Id"], None)
            run |= ended | {
                "CompletedOn": now(),
                "LastModifiedOn": now(),
                "ExecutionTime": int(now() - run["StartedOn"]),
            }
            self.state.save()

    def _run(self, job: str, run_id: str) -> dict[str, Any]:
        self._job(job)
        if run_id not in self.state.runs.get(job, {}):
            raise ApiError("EntityNotFoundException", f"JobRun with id: {run_id} not found.")
        return self.state.runs[job][run_id]

    def get_job_run(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"JobRun": dict(self._run(r["JobName"], r["RunId"]))}

    def get_job_runs(self, r: dict[str, Any]) -> dict[str, Any]:
        self._job(r["JobName"])
        newest = sorted(self.state.runs.get(r["JobName"], {}).values(), key=lambda run: -run["StartedOn"])
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

    def shown_run(self, run_id: str) -> dict[str, Any]:
        """Returns the content of the page of a job run."""
        for runs in self.state.runs.values():
            if run_id in runs:
                log_file = self.logs / f"glue-{run_id}.log"
                printed = log_file.read_text(errors="replace")[-20_000:] if log_file.exists() else ""
                return {**runs[run_id], "Log": printed}
        raise ApiError("EntityNotFoundException", f"JobRun with id: {run_id} not found.")
