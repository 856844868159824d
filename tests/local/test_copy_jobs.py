"""COPY jobs of the Redshift stand-in: each file once, by its name."""

import uuid

import pytest

from local.supervision import wait_for
from tests.local.redshift_bench import Redshift

ROLE = "arn:aws:iam::000000000000:role/ecommerce-copy"


@pytest.fixture(scope="module")
def redshift(tmp_path_factory, cloud):
    server = Redshift(tmp_path_factory.mktemp("redshift"), cloud.cloud_url, "--copy-jobs-look-at-all-seconds=3")
    yield server
    server.close()


class Job:
    """A table, a prefix and the job between them."""

    def __init__(self, redshift, s3, bucket):
        self.redshift, self.s3, self.bucket = redshift, s3, bucket
        self.name = f"j{uuid.uuid4().hex[:8]}"
        redshift.ok(f"CREATE TABLE {self.name} (k INTEGER NOT NULL)")

    def put(self, name, *lines):
        self.s3.put_object(Bucket=self.bucket, Key=name, Body="\n".join(lines).encode())

    def create(self, auto="ON", options="CSV"):
        self.redshift.ok(f"{self.copy(options)} JOB CREATE {self.name} AUTO {auto}")

    def copy(self, options="CSV"):
        return f"COPY {self.name} FROM 's3://{self.bucket}/in/' IAM_ROLE '{ROLE}' {options}"

    def rows(self):
        return [row[0] for row in self.redshift.rows(f"SELECT k FROM {self.name} ORDER BY k")]

    def files(self):
        return self.redshift.rows(
            f"SELECT file_name, status FROM sys_copy_job_detail WHERE job_name = '{self.name}' ORDER BY file_name"
        )

    def wait(self, rows):
        wait_for(lambda: self.rows() == rows, 60, f"rows {rows}", 0.2)


@pytest.fixture
def job(redshift, s3, bucket):
    made = Job(redshift, s3, bucket)
    yield made
    if redshift.rows(f"SELECT 1 FROM sys_copy_job WHERE job_name = '{made.name}'"):
        redshift.ok(f"COPY JOB DROP {made.name}")


def test_files_are_loaded_once_and_none_that_was_there_before(job):
    job.put("in/0", "1")
    job.create()
    job.put("in/b", "2", "3")
    job.put("other/x", "9")
    job.wait([2, 3])
    job.put("in/b", "7")  # the same name again, as an erasure writes it
    job.put("in/a", "4")  # a name before the last one that was seen
    job.wait([2, 3, 4])
    assert job.files() == [("in/a", "I"), ("in/b", "I")]


def test_a_file_that_does_not_fit_is_skipped_and_keeps_back_no_other(job):
    job.create()
    job.put("in/bad", "x")
    job.put("in/good", "1")
    job.wait([1])
    wait_for(lambda: ("in/bad", "E") in job.files(), 30, "the file that is skipped", 0.2)
    assert ("in/bad", "E") in job.files()
    errors = job.redshift.rows(
        f"SELECT column_name FROM sys_load_error_detail WHERE file_name = 's3://{job.bucket}/in/bad'"
    )
    assert errors == [("k",)]
    job.put("in/more", "2")
    job.wait([1, 2])


def test_a_job_that_is_off_loads_when_it_is_told(job):
    job.create(auto="OFF")
    job.put("in/a", "1")
    job.redshift.ok(f"COPY JOB RUN {job.name}")
    job.redshift.ok(f"COPY JOB RUN {job.name}")
    assert job.rows() == [1]
    job.redshift.ok(f"COPY JOB ALTER {job.name} AUTO ON")
    job.put("in/b", "2")
    job.wait([1, 2])


def test_a_job_that_is_made_again_knows_nothing_of_the_one_before(job):
    job.create()
    job.put("in/z", "1")
    job.wait([1])
    job.redshift.ok(f"COPY JOB DROP {job.name}")
    job.create()
    [(known,)] = job.redshift.rows(f"SELECT COUNT(*) FROM sys_copy_job_detail WHERE job_name = '{job.name}'")
    assert known == 0
    job.put("in/a", "2")
    job.wait([1, 2])


def test_what_redshift_says_of_its_jobs(job):
    job.create(auto="OFF")
    [(name, role, auto)] = job.redshift.rows(
        f"SELECT job_name, iam_role, is_auto FROM sys_copy_job WHERE job_name = '{job.name}'"
    )
    assert (name, role, auto) == (job.name, ROLE, 0)
    assert job.name in {row[1] for row in job.redshift.rows("COPY JOB LIST")}
    assert job.redshift.rows(f"COPY JOB SHOW {job.name}")[0][2] == job.copy()


def test_jobs_and_their_files_outlive_the_process(tmp_path, cloud, s3, bucket):
    server = Redshift(tmp_path, cloud.cloud_url)
    job = Job(server, s3, bucket)
    job.create()
    job.put("in/a", "1")
    job.wait([1])
    server.close()
    server = Redshift(tmp_path, cloud.cloud_url)
    job.redshift = server
    job.put("in/b", "2")
    job.wait([1, 2])
    server.close()


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("COPY {t} FROM 's3://b/in/' IAM_ROLE default CSV JOB CREATE {t}", "the default role is not supported"),
        ("{copy} MANIFEST JOB CREATE {t}", "MANIFEST is not supported"),
        ("{copy} MAXERROR 3 JOB CREATE {t}", "MAXERROR is not supported"),
        ("{copy} JOB CREATE has-a-hyphen", "Invalid job name"),
        ("{copy} JOB CREATE", "syntax error"),
        ("COPY JOB DROP none", "does not exist"),
        ("COPY JOB RUN none", "does not exist"),
        ("COPY JOB ALTER none", "does not exist"),
    ],
)
def test_what_redshift_refuses_is_refused(job, sql, says):
    assert says in job.redshift.error(sql.format(t=job.name, copy=job.copy()))


def test_a_job_is_not_made_within_a_transaction(job):
    assert "inside a transaction block" in job.redshift.error("SELECT 1", f"{job.copy()} JOB CREATE {job.name}")
    job.create()
    assert "already exists" in job.redshift.error(f"{job.copy()} JOB CREATE {job.name}")
    assert "inside a transaction block" in job.redshift.error("SELECT 1", f"COPY JOB DROP {job.name}")
