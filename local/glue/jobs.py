"""Runs Glue jobs: the script of the job on PySpark, with arguments as Glue passes them."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from local.stack import PROJECT_DIR

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger("glue-jobs")

# Arguments that Glue itself interprets: "AWS Glue job parameters", Glue developer guide.
EXTRA_PY_FILES = "--extra-py-files"
OWN = {
    EXTRA_PY_FILES,
    "--extra-jars",
    "--extra-files",
    "--enable-metrics",
    "--enable-auto-scaling",
    "--job-language",
    "--enable-continuous-cloudwatch-log",
    "--enable-observability-metrics",
    "--job-bookmark-option",
    "--TempDir",
    "--additional-python-modules",
    "--conf",
}
MESSAGE_MAX = 3000


class JobFailed(Exception):  # noqa: N818
    """The run ends as FAILED with this message."""


class JobStopped(Exception):  # noqa: N818
    """The run was stopped or exceeded its timeout; the message is the state."""


class JobProcess:
    """One run: its process, its folder and its log.

    Args:
        s3: boto3 client that downloads the script and the modules.
        log_file: receives the output of the script.
    """

    def __init__(self, s3: S3Client, log_file: Path) -> None:
        self.s3, self.log_file = s3, log_file
        self.process: subprocess.Popen[bytes] | None = None
        self.stopped = False

    def run(self, script: str, arguments: dict[str, str], timeout_seconds: float) -> None:
        """Runs the script to its end.

        Raises:
            JobFailed: The script could not be started, or failed; with the last exception that it printed.
            JobStopped: The script was stopped, or took too long.
        """
        if importlib.util.find_spec("pyspark") is None or not shutil.which("java"):
            raise JobFailed(
                "the local Glue needs PySpark and Java 17: make setup-spark, and install a JRE "
                "(on Debian: apt install openjdk-17-jre-headless)"
            )
        with tempfile.TemporaryDirectory(prefix="glue-") as name:
            folder = Path(name)
            paths = [self._fetch(url, folder) for url in arguments.get(EXTRA_PY_FILES, "").split(",") if url]
            words = [word for key, value in arguments.items() if key not in OWN for word in (key, value)]
            command = [sys.executable, str(self._fetch(script, folder)), *words]
            # On AWS, the checkout is not on the path of a job.
            others = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != str(PROJECT_DIR)]
            environment = os.environ | {
                "PYTHONPATH": os.pathsep.join([*map(str, paths), *others]),
                "PYSPARK_PYTHON": sys.executable,
                "SPARK_LOCAL_IP": "127.0.0.1",
                "SPARK_LOCAL_DIRS": str(folder / "spark"),
                "PYSPARK_SUBMIT_ARGS": "--master local[*] --driver-memory 2g --conf spark.ui.enabled=false "
                "--conf spark.driver.bindAddress=127.0.0.1 --conf spark.sql.shuffle.partitions=8 pyspark-shell",
            }
            with self.log_file.open("wb") as output:
                self.process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                try:
                    code = self.process.wait(timeout_seconds)
                except subprocess.TimeoutExpired:
                    self.stop()
                    raise JobStopped("TIMEOUT") from None
        if self.stopped:
            raise JobStopped("STOPPED")
        if code:
            raise JobFailed(self._last_exception() or f"the script ended with {code}")

    def stop(self) -> None:
        """Ends the process and the JVM that it started."""
        self.stopped = True
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, 15)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, 9)

    def _fetch(self, url: str, folder: Path) -> Path:
        where = urlparse(url.strip())
        if where.scheme != "s3":
            raise JobFailed(f"{url}: expected s3://bucket/key")
        path = folder / Path(where.path).name
        try:
            self.s3.download_file(where.netloc, where.path.lstrip("/"), str(path))
        except self.s3.exceptions.ClientError as error:
            raise JobFailed(f"{url}: {error}") from error
        return path

    def _last_exception(self) -> str:
        """Returns the type and message of the last Python exception in the log, as Glue shows it."""
        lines = self.log_file.read_text(errors="replace").splitlines()
        found = [line.strip() for line in lines if re.match(r"^([A-Za-z_][\w.]*)(Error|Exception)\b.*", line)]
        return found[-1][:MESSAGE_MAX] if found else (lines[-1][:MESSAGE_MAX] if lines else "")


def now() -> float:
    return round(time.time(), 3)
