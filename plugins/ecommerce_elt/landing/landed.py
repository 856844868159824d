"""The result of landing files: what the tasks of load_history pass on, and the report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ecommerce_elt.landing.replacing import LandedExport


@dataclass(frozen=True)
class LandedPart:
    """One file that was read: a landed file, or a file in a landed zip."""

    name: str  # name in the zip, or its number if names may identify people; empty without a zip
    data_set: str
    rows: int
    blank_lines: int
    uneven_rows: int
    layout: str
    left_out: dict[str, dict[str, Any]]  # kind of left-out rows to their number and first lines
    formulas_without_value: int
    raw_prefix: str  # prefix of the keys of its raw objects
    batches: list[str]
    identity: str = "file"  # the columns that the event ids are made of; "file" if they are made of file and line
    repeated_rows: int = 0  # rows with the same identity values as an earlier row; 0 if ids are made of file and line
    filled_down: dict[str, int] = field(default_factory=dict)  # key to number of values filled down
    may_be_cut: bool = False  # whether it is a text file without a line break at its end


@dataclass(frozen=True)
class Landed:
    """The result of landing one file: its batches, and the findings of its survey."""

    key: str
    etag: str
    parts: list[LandedPart]
    skipped: list[str]  # files of a zip that are not data
    unread: int = 0  # files of a zip that cannot be read

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Landed:
        """Returns the object that `asdict` wrote."""
        return cls(**{**found, "parts": [LandedPart(**part) for part in found["parts"]]})

    @property
    def export(self) -> LandedExport:
        """The part of the result that a replacement needs."""
        parts = {part.raw_prefix: part.may_be_cut for part in self.parts}
        return LandedExport(self.key, self.etag, parts, tuple(self.batches), is_whole=not self.unread)

    @property
    def batches(self) -> list[str]:
        return list(dict.fromkeys(batch_id for part in self.parts for batch_id in part.batches))

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def repeated_rows(self) -> int:
        return sum(part.repeated_rows for part in self.parts)


@dataclass(frozen=True)
class LandedGroup:
    """The result of landing files together.

    Args:
        files: the files that could be read.
        failed: keys of the files that could not be read.
        replaced: keys of files that were overwritten in the meantime; the new version has its own run.
    """

    files: list[Landed]
    failed: list[str]
    replaced: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> LandedGroup:
        """Returns the object that `asdict` wrote."""
        return cls([Landed.of(file) for file in found["files"]], found["failed"], found["replaced"])

    @property
    def batches(self) -> list[str]:
        """The ids of the batches of all files, each once, since files can share a batch."""
        return list(dict.fromkeys(batch_id for file in self.files for batch_id in file.batches))
