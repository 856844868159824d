"""A file, or each file of a zip, read once: nothing is sent, and nothing is written, before all of it can be read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import Contract
from ecommerce_elt.packed import Archive, PackedFile
from ecommerce_elt.settings import FileLimits, file_limits
from ecommerce_elt.tabular import Flags, Survey, TabularFile


class Reading(NamedTuple):
    """One file of records, and what its first reading found out."""

    name: str  # in the zip, or which one it is where names may be of people; empty without a zip
    file: TabularFile
    survey: Survey


class MembersError(PermanentError):
    """Some files of a zip cannot be read.

    Args:
        name: of the zip.
        errors: by the name of the file.
    """

    def __init__(self, name: object, errors: dict[str, PermanentError], total: int) -> None:
        super().__init__(name, errors, total)
        self.name, self.errors, self.total = name, errors, total

    def __str__(self) -> str:
        shown = "; ".join(map(str, self.errors.values()))
        return f"{self.name}: {len(self.errors)} of {self.total} files of the zip cannot be read, so none is: {shown}"


def read_files(
    path: Path, contract: Contract, flags: Flags, folder: Path, *, name: str = "", limits: FileLimits | None = None
) -> tuple[list[Reading], list[str]]:
    """Returns what is in a file, and the files of a zip that were left out because they are no data.

    Args:
        folder: where files of a zip are unpacked; it must stay until the records are read.
        name: of the file for messages, where it is not the path.

    Raises:
        PermanentError: something of it cannot be read.
    """
    limits = limits or file_limits()
    source = PackedFile(path, limits, folder, name)
    if source.kind != "zip":
        file = TabularFile(source, contract, flags)
        return [Reading("", file, file.survey())], []
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
    if errors:
        raise MembersError(source.name, errors, len(archive.members))
    return readings, [f"{len(archive.skipped)} files"] if contract.is_personal and archive.skipped else archive.skipped
