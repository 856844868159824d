"""Reads a file, or each file of a zip, once before anything is sent or written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.packed import Archive, PackedFile
from ecommerce_elt.readers.survey import Survey
from ecommerce_elt.readers.tabular import TabularFile
from ecommerce_elt.settings import FileLimits, file_limits


class Reading(NamedTuple):
    """One file of records, and the findings of its first reading."""

    name: str  # name in the zip, or its number if names may identify people; empty without a zip
    file: TabularFile
    survey: Survey


class MembersError(PermanentError):
    """No file of a zip can be read, or some cannot be read and the caller needs all of them.

    Args:
        name: the name of the zip.
        errors: the error of each unreadable file, by its name.
        total: the number of files in the zip.
    """

    def __init__(self, name: object, errors: dict[str, PermanentError], total: int) -> None:
        super().__init__(name, errors, total)
        self.name, self.errors, self.total = name, errors, total

    def __str__(self) -> str:
        shown = "; ".join(map(str, self.errors.values()))
        return f"{self.name}: {len(self.errors)} of {self.total} files of the zip cannot be read: {shown}"


class Readings(NamedTuple):
    """The contents of a landed file.

    Args:
        files: the files that can be read.
        skipped: files of a zip that were left out because they are not data.
        unread: files of a zip that cannot be read, with their errors.
    """

    files: list[Reading]
    skipped: list[str]
    unread: dict[str, PermanentError]

    def whole(self, name: object) -> Readings:
        """Returns this object if all files can be read. For callers that need all files of a zip or none.

        Raises:
            MembersError: at least one file cannot be read.
        """
        if self.unread:
            raise MembersError(name, self.unread, len(self.unread) + len(self.files))
        return self


def read_files(
    path: Path, contract: Contract, flags: Flags, folder: Path, *, name: str = "", limits: FileLimits | None = None
) -> Readings:
    """Returns the contents of a file. A file of a zip that cannot be read does not affect the others.

    Args:
        path: the file.
        contract: the contract of the feed.
        flags: properties of the file that cannot be detected.
        folder: where files of a zip are unpacked; it must exist until the records are read.
        name: the name of the file in messages, if not its path.
        limits: the largest sizes that are read; from the settings by default.

    Raises:
        PermanentError: nothing of the file can be read.
    """
    limits = limits or file_limits()
    source = PackedFile(path, limits, folder, name)
    if source.kind != "zip":
        file = TabularFile(source, contract, flags)
        return Readings([Reading("", file, file.survey())], [], {})
    archive = Archive(source)
    if flags.data_set and len(archive.members) > 1:
        raise PermanentError(
            f"{source.name}: data_set={flags.data_set!r} names the data of one file, and the zip has {len(archive.members)}"
        )
    readings: list[Reading] = []
    errors: dict[str, PermanentError] = {}
    for member in archive.members:
        shown = f"file {member.number}" if contract.is_personal else member.name
        try:
            file = TabularFile(archive.extract(member, folder, f"{source.name}, {shown}"), contract, flags)
            readings.append(Reading(shown, file, file.survey()))
            file.release()
        except PermanentError as error:
            errors[shown] = error
    if errors and not readings:
        raise MembersError(source.name, errors, len(archive.members))
    skipped = [f"{len(archive.skipped)} files"] if contract.is_personal and archive.skipped else archive.skipped
    return Readings(readings, skipped, errors)
