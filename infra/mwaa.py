"""Packaging of the files for MWAA, in a folder named after their hash.

The files are the DAGs with contracts and SQL, plugins.zip, requirements.txt and a startup script. infra/mwaa/README.md
lists the Airflow versions of MWAA with their source, and docs/deploy.md describes the limits of MWAA.
"""

from __future__ import annotations

import hashlib
import io
import shlex
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import PROJECT_DIR

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

FOLDER = PROJECT_DIR / "infra" / "mwaa"
# Airflow version of MWAA to our requirements within its constraints. The default of infra/orchestration.yaml is first.
REQUIREMENTS = {"3.3.1": "requirements-mwaa.txt", "3.2.1": "requirements-mwaa-3.2.1.txt"}
DEFAULT = next(iter(REQUIREMENTS))
HOME = "/usr/local/airflow"  # home directory in MWAA's containers, with dags/ and plugins/
# Half of the 20 GiB that a Fargate container has at least, for five tasks at a time. The image, packages and logs use
# the rest.
SPILL_MAX_BYTES = 2 * 1024**3
ZIP_EPOCH = (2020, 1, 1, 0, 0, 0)  # the same code gives the same archive, and so the same key


def requirements(version: str) -> Path:
    """Returns the requirements file for an Airflow version of MWAA.

    Raises:
        PermanentError: this project has no requirements for the version.
    """
    if version not in REQUIREMENTS:
        raise PermanentError(
            f"AirflowVersion {version}: expected one of {', '.join(REQUIREMENTS)}; "
            "infra/mwaa/README.md says how to add one"
        )
    return PROJECT_DIR / REQUIREMENTS[version]


def archive(files: dict[str, bytes]) -> bytes:
    """Returns a zip archive of the files. The same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, content in sorted(files.items()):
            info = zipfile.ZipInfo(path, ZIP_EPOCH)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, content)
    return buffer.getvalue()


def files(environment: dict[str, str], version: str = DEFAULT) -> dict[str, bytes]:
    """Returns the content of all files for MWAA, by path.

    Args:
        environment: environment variables of Airflow on all its machines.
        version: version of Airflow.
    """
    plugins = _tree(PROJECT_DIR / "plugins")
    found = {f"dags/{path.name}": path.read_bytes() for path in (PROJECT_DIR / "dags").glob("*.py")}
    found |= {f"dags/include/{name}": body for name, body in _tree(PROJECT_DIR / "include").items()}
    found |= {f"dags/runbooks/{name}": body for name, body in _tree(PROJECT_DIR / "docs" / "runbooks").items()}
    # The other documentation: the definitions of the figures, and the pages that runbooks link to.
    found |= {f"dags/{path.name}": path.read_bytes() for path in (PROJECT_DIR / "docs").glob("*.md")}
    found["dags/.airflowignore"] = b"include/\nrunbooks/\n"
    found["plugins.zip"] = archive(plugins)
    found["requirements.txt"] = requirements(version).read_bytes()
    found["startup.sh"] = _startup(environment).encode()
    return found


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def _startup(environment: dict[str, str]) -> str:
    """Returns the startup script.

    It only sets variables, because MWAA runs it on each machine and stops it after five minutes.
    """
    in_mwaa = {
        "ECOMMERCE_SPILL_MAX_BYTES": str(SPILL_MAX_BYTES),
        **environment,
        "ECOMMERCE_INCLUDE_DIR": f"{HOME}/dags/include",
        "ECOMMERCE_RUNBOOKS_DIR": f"{HOME}/dags/runbooks",
    }
    return "#!/bin/sh\n" + "".join(f"export {name}={shlex.quote(value)}\n" for name, value in in_mwaa.items())


def upload(bucket: str, environment: dict[str, str], version: str = DEFAULT) -> dict[str, str]:
    """Uploads the files for MWAA to the code bucket, which must have versioning.

    Returns:
        The parameters of infra/orchestration.yaml: the folder, the Airflow version, and the S3 versions of the three
        files for which MWAA requires one. A file that was uploaded before keeps its version, so that an unchanged
        deployment changes nothing.
    """
    content = files(environment, version)
    digest = hashlib.sha256(b"".join(name.encode() + content[name] for name in sorted(content))).hexdigest()
    folder, s3 = f"airflow/{digest[:16]}", boto3.client("s3")
    versions = {name: _put_once(s3, bucket, f"{folder}/{name}", body) for name, body in content.items()}
    return {
        "AirflowFolder": folder,
        "AirflowVersion": version,
        "PluginsObjectVersion": versions["plugins.zip"],
        "RequirementsObjectVersion": versions["requirements.txt"],
        "StartupObjectVersion": versions["startup.sh"],
    }


def _put_once(s3: S3Client, bucket: str, key: str, body: bytes) -> str:
    """Returns the S3 version of the object with this content, which is uploaded if it does not exist."""
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
    except s3.exceptions.NoSuchKey:
        pass  # it is uploaded below
    else:
        if found.get("VersionId", "null") != "null" and found["Body"].read() == body:
            return found["VersionId"]
    put = s3.put_object(Bucket=bucket, Key=key, Body=body)
    if "VersionId" not in put:
        raise PermanentError(
            f"bucket {bucket} keeps no versions of its objects, and MWAA asks for one: enable versioning"
        )
    return put["VersionId"]
