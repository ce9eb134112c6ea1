"""Small files beside the tables, and listings: by Python where the path is this machine's, else by Spark."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pyspark.sql import functions as F

from lakehouse.lake.faults import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

LISTING = "path string, modificationTime timestamp, length bigint, content binary"
"""The schema of Spark's ``binaryFile`` source; only what is selected of it is read."""


NOWHERE = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG)
"""What a link ends in that leads nowhere, or to itself."""


@dataclass(frozen=True, order=True)
class FileEntry:
    """One file: its path (decoded, without ``file:``), its modification time in ms since 1970, its length in bytes."""

    path: str
    modified_ms: int
    bytes: int


def plain_path(uri: str, *, encoded: bool) -> str:
    """A path as people write it: without the scheme where it is this machine's."""
    text = unquote(uri) if encoded else uri
    if text.startswith("file:"):
        return "/" + text.removeprefix("file:").lstrip("/")
    return text


def local(path: str) -> Path | None:
    """The path for Python, or None where only Spark can reach it."""
    plain = plain_path(path, encoded=False)
    return None if "://" in plain else Path(plain)


def check_access(path: str) -> None:
    """Check that a file of this machine can be opened: what storage does not let be read is not the file's fault.

    Raises:
        LakehouseError: it cannot: a right is missing, or the disk does not answer.
    """
    place = local(path)
    try:
        if place is not None:
            place.open("rb").close()
    except OSError as error:
        if found := known(error):
            raise found from error


def list_files(spark: SparkSession, folder: str, pattern: str) -> list[FileEntry]:
    """Every file below the folder whose name matches, sorted; those that begin with ``_`` or ``.`` are hidden from all.

    A link to a folder is not followed.

    Where only Spark can reach the folder, files of zero bytes are not listed: its file sources pass over them.
    """
    root = local(folder)
    if root is not None:
        return sorted(_walk(root, pattern))
    found = listing(
        spark.read.format("binaryFile")
        .schema(LISTING)
        .option("recursiveFileLookup", "true")
        .option("pathGlobFilter", pattern)
        .load(folder)
    )
    return entries(found)


def listing(found: DataFrame) -> DataFrame:
    """A ``binaryFile`` frame without the content, which then is not read."""
    return found.select("path", F.unix_millis("modificationTime").alias("modified_ms"), F.col("length").alias("bytes"))


def entries(found: DataFrame) -> list[FileEntry]:
    """A listing, collected and sorted."""
    return sorted(FileEntry(plain_path(row.path, encoded=False), row.modified_ms, row.bytes) for row in found.collect())


def _walk(folder: Path, pattern: str) -> Iterator[FileEntry]:
    with os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith(("_", ".")):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), pattern)
            elif Path(entry.name).match(pattern) and not is_folder_link(entry):
                try:
                    stat = entry.stat()
                except OSError as error:
                    if error.errno not in NOWHERE:
                        raise
                    # a link to nothing or to itself, or a file that was renamed since: not there, as Spark sees it
                    continue
                yield FileEntry(str(Path(entry.path)), stat.st_mtime_ns // 1_000_000, stat.st_size)


def digest(path: str) -> str | None:
    """A digest of what a file of this machine holds: 128 bits of BLAKE2; None where it is none, or not there."""
    place = local(path)
    if place is None:
        return None
    try:
        with place.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError:
        return None


def is_folder_link(entry: os.DirEntry[str]) -> bool:
    """Whether it is a link to a folder: none is followed, since it may lead anywhere and in a circle."""
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError as error:
        if error.errno not in NOWHERE:
            raise
        return False


def read_lines(spark: SparkSession, path: str) -> list[str] | None:
    """The lines of a small text file, or of all files of a folder; None where there is nothing."""
    place = local(path)
    if place is None:
        try:
            return [row.value for row in spark.read.text(path).collect()]
        except Exception as error:
            if "PATH_NOT_FOUND" in str(error):
                return None
            raise
    if place.is_dir():
        files = sorted(path for path in place.iterdir() if not path.name.startswith(("_", ".")))
        return [line for path in files for line in _lines(path)]
    return _lines(place) if place.is_file() else None


def _lines(place: Path) -> list[str]:
    """As Spark cuts a text: not at all that Unicode takes for the end of a line."""
    with place.open(encoding="utf-8") as file:
        return [line.removesuffix("\n") for line in file]


def write_text(spark: SparkSession, path: str, text: str) -> None:
    """Write one small text, whole or not at all; where only Spark can reach, as a folder of one file."""
    place = local(path)
    if place is None:
        spark.range(1).select(F.lit(text).alias("value")).coalesce(1).write.mode("overwrite").text(path)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=place.parent, prefix=".", delete=False) as beside:
        beside.write(text)
        beside.flush()
        os.fsync(beside.fileno())
    Path(beside.name).replace(place)
