"""Errors for ambiguous files. The answer is named as a flag of the producer or as a parameter of a DAG run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ecommerce_elt.errors import PermanentError

FLAGS = {"data_set": "--dataset"}  # all other flags are spelled like the options
NAMES_SHOWN = 50  # columns or sheets that a message names
NOT_SHOWN = "The feed has personal columns, so nothing of the line is shown here: look at it in the file"


class OpenQuestionError(PermanentError):
    """A file can be read in several ways, or its columns have unknown names. Each answer resolves the ambiguity.

    Args:
        asked: the question, up to the place where the answers are named.
        answers: for each answer, option to value; the value is an empty text if the user has to find it.
        more: the text after the answers.
    """

    def __init__(self, asked: str, answers: Sequence[Mapping[str, Any]], more: str = "") -> None:
        super().__init__(asked, answers, more)
        self.asked, self.answers, self.more = asked, answers, more

    def __str__(self) -> str:
        return self.asked + " or ".join(" ".join(map(_as_flag, a, a.values())) for a in self.answers) + self.more

    def as_parameters(self) -> str:
        """Returns the message with the parameters of a DAG run instead of command-line flags."""
        shown = (
            ", ".join(f"{name}: {json.dumps(a[name], ensure_ascii=False)}" if a[name] != "" else name for name in a)
            for a in self.answers
        )
        return self.asked + " or ".join(shown) + self.more

    def of(self, file: object) -> OpenQuestionError:
        """Returns the same question, prefixed with the file's name."""
        return OpenQuestionError(f"{file}: {self.asked}", self.answers, self.more)

    def commands(self, dag_id: str, conf: Mapping[str, Any]) -> list[str]:
        """Returns for each answer the command that triggers the DAG again; `...` marks a value the user has to find."""
        return [
            f"airflow dags trigger {dag_id} --conf "
            + shlex.quote(json.dumps(_merged(conf, answer), ensure_ascii=False))
            for answer in self.answers
        ]


def _merged(conf: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(conf)
    for name, value in answer.items():
        merged[name] = (
            {**conf.get(name, {}), **value} if isinstance(value, Mapping) else "..." if value == "" else value
        )
    return merged


def _as_flag(option: str, value: Any) -> str:
    if option == "decimal_comma":
        return "--decimal-comma" if value else "--decimal-point"
    if option == "columns":
        return " ".join(f"--column {shlex.quote(f'{key}={header}')}" for key, header in value.items())
    flag = FLAGS.get(option) or "--" + option.replace("_", "-")
    return f"{flag} {shlex.quote(value)}" if value != "" else flag
