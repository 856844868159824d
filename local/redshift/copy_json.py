"""COPY of JSON: objects one after the other, matched to columns by key or by a JSONPaths file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from local.redshift.catalog import Column
from local.redshift.copy_statement import Copy
from local.redshift.errors import SqlError, unsupported
from local.redshift.s3_objects import split_url

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

Lines = Iterator[tuple[int, list[str | None] | str]]
Path = list[str | int]


class Number(str):
    """A JSON number as it was written, so that no digit is lost."""

    __slots__ = ()


def json_records(s3: S3Client, copy: Copy, columns: list[Column]) -> Callable[[str], Lines]:
    """Returns a function that yields (number of the record, its values as texts or its error) for the text of an
    object.
    """
    mode = copy.json_paths
    if mode == "noshred":
        raise unsupported("COPY JSON 'noshred'")
    paths = None if mode in {"auto", "auto ignorecase"} else _paths(s3, mode, len(columns))
    if "IGNOREHEADER" in copy.options:
        raise unsupported("COPY JSON with IGNOREHEADER")

    def read(text: str) -> Lines:
        decoder = json.JSONDecoder(parse_float=Number, parse_int=Number)
        at, number = 0, 0
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            number += 1
            try:
                record, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError as error:
                yield number, f"Invalid JSON format: {error}"
                return
            if not isinstance(record, dict) and paths is None:
                yield number, "Invalid JSON: expected an object"
                continue
            if mode == "auto ignorecase":
                record = {k.lower(): v for k, v in record.items()}
            found = [record.get(c.name) for c in columns] if paths is None else [_at(record, path) for path in paths]
            yield number, [_json_text(value, column) for value, column in zip(found, columns, strict=True)]

    return read


def _paths(s3: S3Client, url: str, wanted: int) -> list[Path]:
    bucket, key = split_url(url)
    try:
        written = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["jsonpaths"]
    except botocore.exceptions.ClientError as error:
        raise SqlError(f"ERROR: S3ServiceException:The specified key does not exist., Key {key}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SqlError(
            f"ERROR: Invalid JSONPath format in {url}: expected an object with the list jsonpaths"
        ) from error
    if len(written) != wanted:
        raise SqlError(
            f"ERROR: Number of jsonpaths and the number of columns should match. JSONPath size: {len(written)}, "
            f"Number of columns in table or column list: {wanted}"
        )
    return [_steps(path) for path in written]


def _steps(path: str) -> Path:
    """Returns the steps of $.a.b[0] or $['a']['b']."""
    if not re.fullmatch(r"\$(\.[A-Za-z_][\w-]*|\[\d+\]|\['[^']+'\]|\[\"[^\"]+\"\])*", path):
        raise SqlError(
            f"ERROR: Invalid JSONPath format. Supported notations are 'dot-notation' and 'bracket-notation': {path}"
        )
    found: Path = []
    for dotted, place, quoted, double in re.findall(
        r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\['([^']+)'\]|\[\"([^\"]+)\"\]", path
    ):
        found.append(int(place) if place else dotted or quoted or double)
    return found


def _at(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        elif isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


def _json_text(value: Any, column: Column) -> str | None:
    if column.kind == "SUPER":
        return None if value is None else _written(value)
    if value is None:
        return None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    return _written(value)


def _written(value: Any) -> str:
    """Returns the value as JSON, with numbers as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
