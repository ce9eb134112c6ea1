"""What Spark cannot read as it lies is written again: unpacked, in UTF-8, a record on a line.

Python does it, on the machine that the job runs on, into a folder that is gone when the batch is read.
"""

from __future__ import annotations

import io
import lzma
import mmap
import re
import struct
import zipfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lakehouse.errors import FileUnreadableError, StorageError
from lakehouse.lake.batch import BadFile
from lakehouse.lake.faults import known
from lakehouse.lake.storage import local, plain_path
from lakehouse.read import excel, xml
from lakehouse.read.json_values import values
from lakehouse.read.layout.archive import check_archive
from lakehouse.read.layout.layout import exceed
from lakehouse.read.packed import (
    BROKEN,
    DEFAULTS,
    bounded,
    check_lines,
    chunks,
    encoding_of,
    measure,
    packing,
    size_of,
    texts,
)
from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.lake.storage import FileEntry
    from lakehouse.spec.files import FileFormat, FilesSource
    from lakehouse.spec.limits import FileLimits

_ENDINGS: dict[str, FileFormat] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".avro": "avro",
    ".orc": "orc",
    ".xml": "xml",
    ".xlsx": "excel",
}

TEXTS = ("csv", "json", "text", "fixed_width")
"""What is written in characters."""

_NO_ZIP = (zipfile.BadZipFile, lzma.LZMAError, struct.error, RuntimeError, ValueError, *BROKEN)
"""What reading a zip may raise for what it holds: also a password, a way of packing, or a name that is no text."""

_LONGEST_PREAMBLE = 4 * 1024 * 1024


@dataclass(frozen=True, order=True)
class Piece:
    """What is read as one file: ``path`` is what Spark reads, ``file`` what its records are said to be from."""

    format: FileFormat
    path: str
    file: str


class Scratch:
    """A folder for files that are written to be read once; there only where Spark can see it."""

    def __init__(self, spark: SparkSession, folder: Path, limits: FileLimits = DEFAULTS) -> None:
        """Of a folder that is empty."""
        self._spark, self._folder, self._made = spark, folder, 0
        self._ratio, self._spare = limits.ratio, limits.batch_bytes

    @property
    def _is_seen(self) -> bool:
        return str(self._spark.conf.get("spark.master", "")).startswith("local")

    def under_another_name(self, path: str) -> str:
        """The path, or that of a link where Hadoop cannot open a file of that name on a disk, for the colon in it.

        It looks for a checksum in a file named alike, and takes what is before the colon for the scheme of a URI.
        """
        place = local(path)
        if place is None or ":" not in place.name or not self._is_seen:
            return path
        self._made += 1
        link = self._folder / f"{self._made}_{place.name.replace(':', '_')[-100:]}"
        link.symlink_to(place)
        return str(link)

    def write(self, data: Iterable[bytes], ending: str, size: int) -> str:
        """A new file of these bytes, that come of a file of so many.

        What goes beyond the ratio that any file may have is taken from what all files of a batch may have together.

        Raises:
            FileUnreadableError: Spark runs on other machines, which do not see what is written here.
            StorageError: there is no room for it.
            Unreadable: it is one of many files that each unpack to more than their size explains.
        """
        if not self._is_seen:
            message = "a file would have to be unpacked or written as UTF-8 first, where Spark's other machines see it"
            raise FileUnreadableError(message, hint="deliver it as UTF-8, plain or as .gz, .bz2 or .zst")
        self._made += 1
        path = self._folder / f"{self._made}{ending}"
        try:
            with path.open("wb") as file:
                for chunk in self._bound(data, self._ratio * size):
                    file.write(chunk)
        except Unreadable:
            path.unlink(missing_ok=True)
            raise
        except OSError as error:
            # of the disk: what reading raises is told as Unreadable
            message = f"{path} cannot be written: {error}"
            raise known(error) or StorageError(message) from error
        return str(path)

    def _bound(self, data: Iterable[bytes], explained: int) -> Iterator[bytes]:
        for chunk in data:
            explained -= len(chunk)
            if explained < 0:
                self._spare, explained = self._spare + explained, 0
                if self._spare < 0:
                    exceed("batch_bytes", "it unpacks to more than its size explains, and so do others of its batch")
            yield chunk


def pieces(files: Sequence[FileEntry], source: FilesSource, scratch: Scratch) -> tuple[list[Piece], list[BadFile]]:
    """The files as they are read, and those that cannot be.

    Raises:
        FileUnreadableError: one would have to be written again, and is where only Spark can reach.
    """
    found: list[Piece] = []
    bad: list[BadFile] = []
    for file in files:
        for path, name, wrong in _members(file, scratch, source.limits):
            try:
                if wrong:
                    raise wrong
                found.append(_piece(path, name, source, scratch))
            except Unreadable as error:
                bad.append(BadFile(name, error.code, str(error)))
    return found, bad


def _members(file: FileEntry, scratch: Scratch, limits: FileLimits) -> Iterator[tuple[str, str, Unreadable | None]]:
    """The file, or what is in it where it is a zip: each with its path and name, and with what is wrong with it."""
    if file.bytes < 0:
        yield file.path, file.path, Unreadable("it was announced, and is gone", "FILE_VANISHED")
    elif file.bytes == 0:
        yield file.path, file.path, Unreadable("the file has no byte", "FILE_EMPTY")
    elif _ending(file.path) == ".zip":
        _only_here(file.path)
        yield from _unzipped(file.path, scratch, limits)
    else:
        yield scratch.under_another_name(file.path), file.path, None


def _unzipped(path: str, scratch: Scratch, limits: FileLimits) -> Iterator[tuple[str, str, Unreadable | None]]:
    try:
        archive = _opened(path, limits)
    except Unreadable as error:
        yield path, path, error
        return
    with archive:
        for member in _files(archive):
            name = f"{path}!/{member.filename}"
            try:
                yield _member(archive, member, name, scratch, limits), name, None
            except Unreadable as error:
                yield path, name, error


def _opened(path: str, limits: FileLimits) -> zipfile.ZipFile:
    """A zip that is one as a whole; what is wrong with it later is wrong with one of its members.

    Raises:
        Unreadable: it is none, contradicts itself, goes beyond a limit, or has members that cannot be told apart.
    """
    try:
        archive = zipfile.ZipFile(plain_path(path, encoded=False))
    except _NO_ZIP as error:
        if found := known(error):
            raise found from error
        message = f"it is no zip: {error}"
        raise Unreadable(message) from None
    try:
        size = size_of(path)
        check_archive(archive, size, limits)
        _usable(_files(archive), limits.unpacked_of(size))
    except Unreadable:
        archive.close()
        raise
    return archive


def _files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [one for one in archive.infolist() if not one.is_dir() and not _is_hidden(one.filename)]


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, scratch: Scratch, limits: FileLimits) -> str:
    if _ending(name) == ".zip":
        message = "it is a zip within a zip"
        raise Unreadable(message, "FILE_FORMAT")
    if member.file_size == 0:
        message = "the file has no byte"
        raise Unreadable(message, "FILE_EMPTY")
    ending = _ending(_unpacked(name)) + packing(name)
    return scratch.write(_content(archive, member, limits), ending, member.compress_size)


def _usable(members: Sequence[zipfile.ZipInfo], most: int) -> None:
    if not members:
        message = "the zip holds no file"
        raise Unreadable(message, "FILE_EMPTY")
    # of a member no more is read than it is said to have
    if (size := sum(member.file_size for member in members)) > most:
        exceed("ratio and limits.unpacked_bytes", f"the zip unpacks to {size:,} bytes; at most {most:,} of it are read")


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limits: FileLimits) -> Iterator[bytes]:
    try:
        yield from bounded(archive.open(member), limits, member.compress_size, member.file_size)
    except _NO_ZIP as error:
        message = f"it cannot be taken out of the zip: {error}"
        raise Unreadable(message) from None


def _is_hidden(name: str) -> bool:
    return any(part.startswith(("_", ".")) and part != ".." for part in PurePosixPath(name).parts)


def _ending(name: str) -> str:
    """The last ending of a name, in lower case, where it can be part of any path."""
    ending = PurePosixPath(name).suffix.lower()
    return ending if re.fullmatch(r"\.[a-z0-9]{1,20}", ending) else ""


def _unpacked(name: str) -> str:
    return name[: -len(packing(name))] if packing(name) else name


def _piece(path: str, name: str, source: FilesSource, scratch: Scratch) -> Piece:
    """The file as it is read: itself, or what it was written as.

    Raises:
        Unreadable: its format is not known, or its bytes cannot be had.
    """
    form = source.format or _ENDINGS.get(_ending(_unpacked(name)))
    if form is None:
        message = f"no format is known by the ending of {PurePosixPath(name).name}"
        raise Unreadable(message, "FILE_FORMAT")
    if form == "xml" and source.xml is None:
        message = "it is XML, and the source does not say which elements are its records: xml: {row_tag: …}"
        raise Unreadable(message, "FILE_FORMAT")
    if form == "excel":
        return Piece("json", scratch.write(_workbook(_only_here(path), source), ".json", size_of(path)), name)
    if form == "xml" and source.xml:
        encoding = encoding_of(_only_here(path), source.encoding, is_xml=True)
        lines = (f"{line}\n".encode() for line in xml.objects(path, encoding, source.xml, source.limits))
        return Piece("json", scratch.write(lines, ".json", size_of(path)), name)
    if form not in TEXTS:
        if packing(path):
            unpacked = chunks(_only_here(path), source.limits)
            path = scratch.write(unpacked, _ending(_unpacked(path)), size_of(path))
        return Piece(form, path, name)
    return Piece(form, _in_utf8(path, form, source, scratch), name)


def _in_utf8(path: str, form: FileFormat, source: FilesSource, scratch: Scratch) -> str:
    """The path of the text where Spark can read it: its own, where it is UTF-8 with all that Spark needs."""
    is_cut = form == "json" and source.json_.multiline
    skipped = source.csv.skip_lines if form == "csv" else 0
    if local(path) is None:
        if source.encoding != "UTF-8" or is_cut or skipped:
            _only_here(path)
        return path
    encoding = encoding_of(path, source.encoding)
    is_utf8 = encoding in ("utf-8", "utf-8-sig", "ascii")
    separator = source.csv.line_separator if form == "csv" else None
    if is_utf8 and not skipped and not is_cut:
        if packing(path):
            measure(path, source.limits, separator)
        else:
            check_lines(path, source.limits, separator)
        return path
    # bytes that are no UTF-8 go through as they are: they are a matter of their record
    errors = "surrogateescape" if is_utf8 else "strict"
    text = texts(path, encoding, source.limits, errors=errors)
    text = _without_lines(text, skipped, separator) if skipped else text
    plain = path
    if not is_utf8 or skipped or packing(path):
        plain = scratch.write((part.encode("utf-8", errors) for part in text), f".{form}", size_of(path))
    if is_cut:
        plain = scratch.write(_lines(plain), ".json", size_of(plain))
    check_lines(plain, source.limits, separator)
    return plain


def _only_here(path: str) -> str:
    if local(path) is None:
        message = f"{path} would have to be unpacked or written as UTF-8 first, and lies where only Spark can reach"
        raise FileUnreadableError(
            message, hint="deliver it as UTF-8, plain or as .gz, .bz2 or .zst, a record on a line"
        )
    return path


def _workbook(path: str, source: FilesSource) -> Iterator[bytes]:
    with io.BytesIO() as file:
        for chunk in chunks(path, source.limits, source.limits.workbook_bytes):
            file.write(chunk)
        for line in excel.objects(file, source.excel, source.limits):
            yield line.encode() + b"\n"


def _lines(path: str) -> Iterator[bytes]:
    """The values of a JSON text, each on a line."""
    place = Path(plain_path(path, encoded=False))
    if place.exists() and place.stat().st_size:
        with place.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for value in values(data):
                yield value + b"\n"


def _without_lines(text: Iterator[str], count: int, separator: str | None) -> Iterator[str]:
    """A text without its first lines."""
    end = re.compile(re.escape(separator) if separator else r"\r\n|\n|\r")
    head, ends = "", [0]
    for part in text:
        head += part
        ends = [found.end() for found in islice(end.finditer(head), count)]
        # a \r may be followed by its \n
        if len(ends) == count and ends[-1] < len(head):
            break
        if len(head) > _LONGEST_PREAMBLE:
            message = f"its first {count:,} lines have more than {_LONGEST_PREAMBLE:,} characters"
            raise Unreadable(message, "FILE_HEADER")
    yield head[ends[-1] :] if len(ends) == count else ""
    yield from text
