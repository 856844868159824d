"""Detects the format of a file by its first bytes, whatever its name, and unpacks it.

Limits prevent a small file from unpacking to a large one: see `FileLimits`.
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from isal import igzip, isal_zlib

from ecommerce_elt.errors import PermanentError, without_values
from ecommerce_elt.settings import FileLimits

CHUNK_BYTES = 1 << 20
START_BYTES = 1 << 12
RATIO_FROM_BYTES = 256 << 20  # below this unpacked size, the ratio is not checked
OPENERS: dict[bytes, tuple[str, Callable[..., Any]]] = {
    b"\x1f\x8b": ("gzip", igzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
}
ISAL_ERROR: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]  # its stub has an instance
CANNOT_UNPACK: tuple[type[Exception], ...] = (EOFError, OSError, lzma.LZMAError, ISAL_ERROR)
# Errors of zipfile for a damaged file. NotImplementedError and RuntimeError mean an unsupported compression or
# encryption.
BROKEN_ZIP: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    ISAL_ERROR,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
WORKBOOKS = {"xlsx", "xlsb", "xls", "ods"}
WORKBOOK_SUFFIXES = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}
TEXTS = {"csv", "json"}
ENTRY_MAX_BYTES = 1 << 12  # average per member in a zip's directory; a single long name may take more


class PackedFile:
    """A file that may be compressed.

    Args:
        path: the file.
        limits: the largest sizes that are unpacked.
        folder: where a copy is unpacked if it needs random access; the temporary folder by default.
        name: the name of the file in messages; the path by default.

    Raises:
        PermanentError: there is no such file.
    """

    def __init__(self, path: Path, limits: FileLimits, folder: Path | None = None, name: str = "") -> None:
        self.path, self.limits, self.folder, self.name = path, limits, folder, name or str(path)
        if not path.is_file():
            raise PermanentError(f"{self.name}: no such file")
        with path.open("rb") as file:
            start = file.read(START_BYTES)
        plain: tuple[str, Callable[..., Any]] = ("", open)
        self.packing, self._opener = next((o for magic, o in OPENERS.items() if start.startswith(magic)), plain)
        self.start = next(self.chunks(START_BYTES), b"") if self.packing else start

    @cached_property
    def kind(self) -> str:
        """The format: csv, json, parquet, zip, xlsx (also for xlsm), xlsb, xls or ods.

        Raises:
            PermanentError: the format is recognized, but cannot be read.
        """
        if any(self.packing and self.start.startswith(magic) for magic in OPENERS):
            raise PermanentError(
                f"{self.name}: is packed twice, as {self.packing} of another packed file; unpack it once"
            )
        if self.start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return self._kind_of_zip()
        if self.start.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
            return "xls"
        if self.start.startswith(b"PAR1"):
            return "parquet"
        if (
            self.path.suffix.lower() in WORKBOOK_SUFFIXES
            and (not self.start or b"\0" in self.start or self.start.startswith(b"PK"))
            and not self.bom
        ):
            raise self.broken_workbook("it does not begin as one")
        encoding = self.bom or "utf-8"
        text = self.start.decode(encoding, "ignore").lstrip("\ufeff \t\r\n")
        if text.startswith("<"):
            raise PermanentError(
                f"{self.name}: is HTML or XML, which some programs call .xls. Open it in a spreadsheet program "
                "and save it as .xlsx or .csv"
            )
        return "json" if text.startswith(("{", "[")) else "csv"

    @property
    def bom(self) -> str:
        """The encoding indicated by the byte order mark, or an empty text without one."""
        return next((name for bom, name in BOMS.items() if self.start.startswith(bom)), "")

    def broken_workbook(self, why: object) -> PermanentError:
        return PermanentError(
            f"{self.name}: cannot be read as a workbook: {why}. Copy the file anew from where it came, "
            "or open it where it was made and save it as .xlsx or .csv"
        )

    def _kind_of_zip(self) -> str:
        try:
            with open_zip(self.unpacked, self.limits) as packed:
                names = set(packed.namelist())
        except BROKEN_ZIP as error:
            if self.path.suffix.lower() in WORKBOOK_SUFFIXES:
                raise self.broken_workbook(error) from None
            raise PermanentError(
                f"{self.name}: cannot be read as a zip: {error}. Copy the file anew from where it came"
            ) from error
        if "[Content_Types].xml" in names:
            return "xlsb" if any(name.endswith("workbook.bin") for name in names) else "xlsx"
        return "ods" if {"mimetype", "content.xml"} <= names else "zip"

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Yields the unpacked bytes.

        Raises:
            PermanentError: they cannot be unpacked, or exceed a limit.
        """
        try:
            with self._opener(self.path, "rb") as file:
                if not self.packing:
                    while chunk := file.read(size):
                        yield chunk
                    return
                allowed, done = self._allowed(), 0
                while chunk := file.read(size):
                    done += len(chunk)
                    if done > allowed:
                        raise too_large(self.name, self.packing, done, self.limits)
                    yield chunk
        except CANNOT_UNPACK as error:
            raise PermanentError(f"{self.name}: cannot be unpacked: {without_values(error)}") from None

    def _allowed(self) -> int:
        return allowed_bytes(self.path.stat().st_size, self.limits)

    @cached_property
    def unpacked(self) -> Path:
        """The file itself, or an unpacked copy that exists as long as this object."""
        if not self.packing:
            return self.path
        # It is closed with this object. It is removed with this object or with its folder, whichever ends first.
        self._copy = tempfile.NamedTemporaryFile(prefix="unpacked-", dir=self.folder, delete=self.folder is None)  # noqa: SIM115
        self._copy.writelines(self.chunks())
        self._copy.flush()
        return Path(self._copy.name)


def allowed_bytes(packed_bytes: int, limits: FileLimits) -> int:
    """Returns the largest number of bytes that so many packed bytes may unpack to."""
    return min(limits.unpacked_bytes, max(RATIO_FROM_BYTES, int(packed_bytes * limits.unpacked_ratio)))


def too_large(path: object, packing: str, unpacked: int, limits: FileLimits) -> PermanentError:
    """Returns the error for a file that unpacks to more than the limit."""
    if unpacked > limits.unpacked_bytes:
        limit, setting = f"{limits.unpacked_bytes:,} bytes", "ECOMMERCE_FILE_UNPACKED_BYTES"
    else:
        limit, setting = f"{limits.unpacked_ratio:g} times what is packed", "ECOMMERCE_FILE_UNPACKED_RATIO"
    return PermanentError(
        f"{path}: {packing}: unpacks to more than {limit}. If it is meant, unpack it and split it, or raise {setting}"
    )


# -- zip --------------------------------------------------------------------------------------------------------------


class Member(NamedTuple):
    """One file of a zip."""

    number: int  # position in the zip, from 1
    name: str
    info: zipfile.ZipInfo


class Archive:
    """A zip of files."""

    def __init__(self, source: PackedFile) -> None:
        self.source = source
        self.members: list[Member] = []
        self.skipped: list[str] = []  # hidden files, and files that macOS adds
        with open_zip(source.unpacked, source.limits) as packed:
            infos = packed.infolist()
        for info in infos:
            if info.is_dir():
                continue
            if any(part == "__MACOSX" or part.startswith(".") for part in info.filename.split("/")):
                self.skipped.append(info.filename)
            else:
                self.members.append(Member(len(self.members) + 1, info.filename, info))
        if not self.members:
            raise PermanentError(f"{source.name}: the zip has no file")
        total = sum(info.file_size for info in infos)
        if total > allowed_bytes(source.unpacked.stat().st_size, source.limits):
            raise too_large(source.name, "zip", total, source.limits)

    def extract(self, member: Member, folder: Path, name: str) -> PackedFile:
        """Unpacks one file, and returns it. The copy is named after the member's number, with its suffix.

        Args:
            member: the file in the zip.
            folder: where it is unpacked.
            name: the name of the file in messages.

        Raises:
            PermanentError: the file is damaged, encrypted, or itself a zip.
        """
        path = folder / f"member-{member.number}{Path(member.name).suffix[:8]}"
        with open_zip(self.source.unpacked, self.source.limits) as packed, path.open("wb") as copy:
            try:
                with packed.open(member.info) as file:
                    shutil.copyfileobj(file, copy, CHUNK_BYTES)  # at most the size in the directory, which was checked
            except BROKEN_ZIP as error:
                raise PermanentError(
                    f"{name}: cannot be unpacked: {type(error).__name__}. Is it damaged, or has it a password?"
                ) from None
        found = PackedFile(path, self.source.limits, self.source.folder, name)
        if found.kind == "zip":
            raise PermanentError(f"{name}: is a zip within a zip; unpack it")
        return found


def open_zip(path: Path, limits: FileLimits) -> zipfile.ZipFile:
    """Opens a zip after checking that neither its directory nor its number of members exceeds the limits."""
    with path.open("rb") as file:
        size = _directory_bytes(file)
    if size > limits.members * ENTRY_MAX_BYTES:
        raise _too_many(path, limits)
    packed = zipfile.ZipFile(path)
    if len(packed.filelist) > limits.members:
        packed.close()
        raise _too_many(path, limits)
    return packed


def _too_many(path: Path, limits: FileLimits) -> PermanentError:
    return PermanentError(
        f"{path}: the zip has more than {limits.members:,} files. Split it, or raise ECOMMERCE_FILE_MEMBERS"
    )


def _directory_bytes(file: IO[bytes]) -> int:
    """Returns the size of a zip's directory from its end record; 0 without an end record, which zipfile refuses."""
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        return 0
    found = int(struct.unpack_from("<I", tail, at + 12)[0])
    if found == 0xFFFFFFFF and tail[at - 20 : at - 16] == b"PK\x06\x07":  # zip64
        file.seek(struct.unpack_from("<Q", tail, at - 12)[0] + 40)
        found = int(struct.unpack("<Q", file.read(8))[0])
    return found


class ZipPart:
    """One part of an open zip file, unpacked with ISA-L, which takes half the time of zipfile."""

    def __init__(self, file: IO[bytes], info: zipfile.ZipInfo) -> None:
        self.file, self.info = file, info

    def chunks(self) -> Iterator[bytes]:
        """Yields the unpacked bytes.

        Raises:
            zipfile.BadZipFile: the bytes do not match the directory.
        """
        info = self.info
        if info.flag_bits & 1 or info.compress_type not in {zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED}:
            raise NotImplementedError("it has a password, or is packed in a way that no workbook is")
        self.file.seek(info.header_offset)
        head = self.file.read(30)
        if head[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile(f"Bad magic number for file '{info.filename}'")
        name, extra = struct.unpack_from("<HH", head, 26)
        self.file.seek(name + extra, 1)
        inflate = isal_zlib.decompressobj(-15) if info.compress_type == zipfile.ZIP_DEFLATED else None
        left, done, checksum = info.compress_size, 0, 0
        while left > 0:
            packed = self.file.read(min(left, CHUNK_BYTES >> 3))
            if not packed:
                raise EOFError(f"File '{info.filename}' is cut")
            left -= len(packed)
            while packed:
                chunk = inflate.decompress(packed, CHUNK_BYTES) if inflate else packed
                packed = inflate.unconsumed_tail if inflate else b""
                checksum, done = isal_zlib.crc32(chunk, checksum), done + len(chunk)
                if done > info.file_size:
                    raise zipfile.BadZipFile(f"File '{info.filename}' is larger than the directory says")
                if chunk:
                    yield chunk
        if inflate and (chunk := inflate.flush()):
            checksum, done = isal_zlib.crc32(chunk, checksum), done + len(chunk)
            yield chunk
        if checksum != info.CRC or done != info.file_size:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file '{info.filename}'")
