"""Files become rows: each file read as what it is, so that header drift and a broken file stay that file's matter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from lakehouse.errors import FileChangedError, FileUnreadableError
from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, SOURCE_TYPE, Arrived, BadFile
from lakehouse.lake.frame import col, materialise
from lakehouse.lake.storage import LISTING, FileEntry, listing, local, plain_path
from lakehouse.read import csv, json, parquet
from lakehouse.read.scan import BLOCK, ORDINAL, URI, Unreadable, glob_escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.spec.source import FileFormat, FilesSource

_ENDINGS: dict[str, FileFormat] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
_NEVER = "36500d"
"""Spark forgets, and then passes over, files older than its ``maxFileAge`` (7 days): a late file must be seen."""

_GROUPS = {"csv": csv.groups, "json": json.groups, "parquet": parquet.groups}


def stream(spark: SparkSession, folder: str, source: FilesSource) -> DataFrame:
    """The files that arrive, as a stream of ``path, modified_ms, bytes``; their content is not read here."""
    reader = spark.readStream.format("binaryFile").schema(LISTING).option("recursiveFileLookup", "true")
    reader = reader.option("pathGlobFilter", source.pattern).option("maxFileAge", _NEVER)
    if source.max_bytes:
        reader = reader.option("maxBytesPerTrigger", source.max_bytes)
    else:
        reader = reader.option("maxFilesPerTrigger", source.max_files or 1000)
    return listing(reader.load(folder))


@dataclass(frozen=True)
class _Read:
    """Some files of one kind, evaluated: their rows, and the files that could not be read."""

    frames: tuple[DataFrame, ...] = ()
    bad: tuple[BadFile, ...] = ()

    def __add__(self, other: _Read) -> _Read:
        return _Read(self.frames + other.frames, self.bad + other.bad)


def read_files(
    spark: SparkSession, files: Sequence[FileEntry], source: FilesSource, *, run_id: str, now: datetime
) -> Arrived:
    """The records of the files, each with its file and its ordinal in it (from 1), evaluated once.

    Text formats give every value as the text that was received; types are a contract's matter. Columns are matched by
    name, and one that a file lacks is NULL.

    Raises:
        FileUnreadableError: a file cannot be read, and the source says ``on_unreadable: fail``.
        FileChangedError: a file changed while it was read.
    """
    read = _Read()
    wanted = sorted(files)
    for kind, same in groupby(
        sorted(wanted, key=lambda file: (_kind(file, source), file)), key=lambda file: _kind(file, source)
    ):
        if kind == "empty":
            read += _Read(bad=tuple(BadFile(file.path, "FILE_EMPTY", "the file has no byte") for file in same))
        elif kind == "unknown":
            read += _Read(
                bad=tuple(
                    BadFile(
                        file.path, "FILE_FORMAT", f"no format is known by the ending of {PurePosixPath(file.path).name}"
                    )
                    for file in same
                )
            )
        else:
            groups, bad = _GROUPS[kind](spark, [file.path for file in same], source)
            read += _Read(bad=tuple(bad))
            for paths, scan in groups:
                read += _readable(paths, scan)
    _unchanged(wanted)
    read += _Read(bad=_wrong_encoding(spark, read.frames))
    if read.bad and source.on_unreadable == "fail":
        listed = "\n  ".join(f"{file.file}: {file.code}: {file.message}" for file in read.bad)
        message = f"{len(read.bad)} of {len(wanted)} files cannot be read:\n  {listed}"
        raise FileUnreadableError(message, hint="mend or remove them, or say on_unreadable: quarantine")
    return Arrived(_with_source(spark, read, run_id, now), read.bad)


def _kind(file: FileEntry, source: FilesSource) -> str:
    if file.bytes == 0:
        return "empty"
    name = PurePosixPath(file.path)
    ending = PurePosixPath(name.stem).suffix if name.suffix == ".gz" else name.suffix
    return source.format or _ENDINGS.get(ending.lower(), "unknown")


def _readable(paths: Sequence[str], scan: Callable[[Sequence[str]], DataFrame]) -> _Read:
    """Evaluate the scan of the files; where it fails, halve them until the broken ones stand alone.

    b broken files among n cost some b·log n further scans, and only then.
    """
    try:
        return _Read(frames=(materialise(scan(paths)),))
    except Exception as error:
        if "FILE_NOT_EXIST" in str(error):
            message = f"a file vanished while it was read: {_first_line(error)}"
            raise FileChangedError(message, hint="run again") from error
        if not _is_the_files_fault(error):
            raise
        if len(paths) == 1:
            return _Read(bad=(BadFile(paths[0], "FILE_UNREADABLE", _cause(error)),))
        half = len(paths) // 2
        return _readable(paths[:half], scan) + _readable(paths[half:], scan)


def _is_the_files_fault(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, Unreadable) or any(
        mark in text for mark in ("FAILED_READ_FILE", "CANNOT_READ_FILE_FOOTER", "UNABLE_TO_INFER_SCHEMA")
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]


def _cause(error: Exception) -> str:
    """The innermost cause that a Java stack names, which says what is wrong with the file."""
    causes = [
        line.strip().removeprefix("Caused by: ")
        for line in str(error).splitlines()
        if line.strip().startswith("Caused by: ")
    ]
    return causes[-1][:300] if causes else _first_line(error)


def _unchanged(files: Iterable[FileEntry]) -> None:
    """A file that grew or was replaced while it was read is not what was listed: the batch must be read again."""
    for file in files:
        place = local(file.path)
        if place is None:
            continue
        try:
            stat = place.stat()
        except FileNotFoundError:
            message = f"{file.path} vanished while it was read"
            raise FileChangedError(message, hint="a file that was announced must stay until it is read") from None
        if (stat.st_mtime_ns // 1_000_000, stat.st_size) != (file.modified_ms, file.bytes):
            message = f"{file.path} changed after it was listed (was {file.bytes} bytes, is {stat.st_size})"
            raise FileChangedError(message, hint="write files under another name, then rename them into the folder")


def _wrong_encoding(spark: SparkSession, frames: Sequence[DataFrame]) -> tuple[BadFile, ...]:
    """Files that are not UTF-8.

    Spark decodes a broken byte as U+FFFD without a word. A value that holds one is a suspicion; the file's own bytes
    decide, since the character may stand in it rightly.
    """
    suspects: set[str] = set()
    for frame in frames:
        texts = [
            col(field.name).contains("\ufffd")
            for field in frame.schema.fields
            if isinstance(field.dataType, StringType) and field.name != URI
        ]
        if texts:
            found = frame.where(
                reduce(
                    lambda one, other: F.coalesce(one, F.lit(False)) | F.coalesce(other, F.lit(False)),
                    texts,
                    F.lit(False),
                )
            )
            suspects |= {row[URI] for row in found.select(URI).distinct().collect()}
    if not suspects:
        return ()
    paths = {plain_path(uri, encoded=True) for uri in suspects}
    lines = spark.read.text([glob_escaped(path) for path in sorted(paths)]).select(
        "value", F.col("_metadata.file_path").alias(URI)
    )
    broken = lines.where(~F.is_valid_utf8("value")).select(URI).distinct().collect()
    return tuple(
        BadFile(path, "FILE_ENCODING", "the file is not UTF-8")
        for path in sorted(plain_path(row[URI], encoded=True) for row in broken)
    )


def _with_source(spark: SparkSession, read: _Read, run_id: str, now: datetime) -> DataFrame:
    """The rows of all readable files in one frame, with ``_source``."""
    bad = {file.file for file in read.bad}
    if not read.frames:
        return spark.createDataFrame([], f"{SOURCE} {SOURCE_TYPE}, {RAW} string, {CODE} string, {MESSAGE} string")
    rows = _union(read.frames)
    blocks = (
        rows.groupBy(URI, BLOCK)
        .agg(F.count("*").alias("count"), F.min(ORDINAL).alias("first"))
        .orderBy(URI, BLOCK)
        .collect()
    )
    starts = []
    for uri, same in groupby(blocks, key=lambda block: block[URI]):
        path, before = plain_path(uri, encoded=True), 0
        for block in same:
            if path not in bad:
                starts.append((uri, block[BLOCK], path, before + 1 - block["first"]))
            before += block["count"]
    bases = spark.createDataFrame(starts, f"{URI} string, {BLOCK} bigint, __file string, __base bigint")
    source = F.struct(
        F.col("__file").alias("file"),
        (F.col(ORDINAL) + F.col("__base")).alias("position"),
        F.lit(None).cast("string").alias("topic"),
        F.lit(None).cast("int").alias("partition"),
        F.lit(None).cast("bigint").alias("offset"),
        F.lit(now).cast("timestamp").alias("ingested_at"),
        F.lit(run_id).alias("run_id"),
    )
    # the inner join also leaves out the rows of files that turned out broken after they were read
    return (
        rows.join(F.broadcast(bases), [URI, BLOCK])
        .withColumn(SOURCE, source)
        .drop(URI, BLOCK, ORDINAL, "__file", "__base")
    )


def _union(frames: Sequence[DataFrame]) -> DataFrame:
    """All frames, matched by name; a column that differs in type between them becomes text in all."""
    types: dict[str, set[str]] = {}
    for frame in frames:
        for field in frame.schema.fields:
            types.setdefault(field.name, set()).add(field.dataType.simpleString())
    mixed = {name for name, kinds in types.items() if len(kinds) > 1}
    aligned = [
        frame.select([col(name).cast("string").alias(name) if name in mixed else col(name) for name in frame.columns])
        for frame in frames
    ]
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), aligned)
