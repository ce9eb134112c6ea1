"""What was put aside of files comes in again: rows by the columns that were kept, files by being read once more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pyspark.errors import AnalysisException
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, SOURCE_TYPE, TEXT, unite
from lakehouse.lake.frame import as_json, literal, materialise, of_json
from lakehouse.lake.statements import expression
from lakehouse.lake.storage import FileEntry, list_files
from lakehouse.read.control import Controlled
from lakehouse.read.files import read_files
from lakehouse.read.folders import IN_ZIP
from lakehouse.read.links import BROKEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from lakehouse.lake.batch import Arrived
    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.read.links import Links
    from lakehouse.spec.files import FilesSource

CHANGED = "NOT_AS_RECEIVED"
"""The code of a row whose record cannot be made what it was."""

_REFUSALS = (
    (
        "record IS NOT NULL AND NOT coalesce(get(reasons, 0) LIKE '%:%', false)",
        "it is no record that can be parsed, which no contract mends: deliver it again in another file and discard it",
    ),
)
"""What a contract says of a row names a column or a rule; the parsers say one word."""

_KIND = (
    "coalesce(types, concat('struct<', array_join(transform(json_object_keys(record), "
    "name -> concat('`', replace(name, '`', '``'), '`: string')), ', '), '>'))"
)
"""The type of a row's record; where none is noted, all of it was text."""


_OF_CONTROL = (
    "record IS NULL",
    "its control file says what it must hold, which nobody looks at here: deliver both again, and discard it",
)


_OF_ZIP = (
    f"record IS NULL AND source.file RLIKE {literal(IN_ZIP)}",
    "it is in a zip, which is read as a whole: deliver it again in another file and discard it, or --full-refresh",
)


_OF_LINK = (
    f"record IS NULL AND coalesce(array_contains(reasons, '{BROKEN}'), false)",
    "it is a link that led nowhere: a run reads its file once it leads to one; discard it",
)


def refusals(source: FilesSource, folder: str) -> tuple[tuple[str, str], ...]:
    """Rows of the quarantine that cannot come in again, by conditions on them, and why."""
    if source.control:
        return (*_REFUSALS, _OF_LINK, _OF_CONTROL)
    if source.archive_to:
        return (
            *_REFUSALS,
            _OF_LINK,
            _OF_ZIP,
            (_gone(folder), "its file was moved away by archive_to: move it back first"),
        )
    return (*_REFUSALS, _OF_LINK, _OF_ZIP)


def _gone(folder: str) -> str:
    """The condition that a row is of a file that is not in the folder any more."""
    there = [file for file in sorted(Path(folder).rglob("*")) if file.is_file()]
    seen = [file for file in there if not any(part[0] in "_." for part in file.relative_to(folder).parts)]
    return f"record IS NULL AND source.file NOT IN ({', '.join(literal(str(file)) for file in seen) or literal('')})"


@dataclass(frozen=True)
class Came:
    """What came of rows of the quarantine: the files that were read for it, and how many more records than rows."""

    arrived: Arrived
    files: tuple[FileEntry, ...] = ()
    more: int = 0


def again(rows: DataFrame, source: FilesSource, *, links: Links, checkpoint: Checkpoint, run_id: str) -> Came:
    """Rows of the quarantine as they once came, and the records of files that could not be read.

    A row has its file and position, and its values in the types that they had: one that is not exactly what was
    received is put aside again. A file is read as the source now says, as it lies there now; that it was rewritten is
    noted, so that no run takes it for a change behind its back.

    Raises:
        FileUnreadableError: a file still cannot be read, and the source says ``on_unreadable: fail``.
        FileChangedError: a file changed while it was read.
    """
    spark, now = rows.sparkSession, datetime.now(UTC)
    text = F.when(F.col("parsed").isNotNull(), F.col("record")).alias(TEXT)
    columns = F.coalesce("parsed", "record").alias("record")
    kept = materialise(rows.select(columns, text, "source.file", "source.position", "types"))
    of_files = kept.where(expression("record IS NULL")).groupBy("file").count().collect()
    frames = _records(kept.where(expression("record IS NOT NULL")), run_id, now)
    if not of_files:
        return Came(unite(frames))
    files = _files(spark, links.folder, source, sorted(row.file for row in of_files))
    may_be_read, linked = links.sort_out(files)
    read = read_files(spark, may_be_read, source, run_id=run_id, now=now, held=Controlled(bad=linked))
    taken = checkpoint.files(spark)
    noted = {path: modified for path, (modified, _) in taken.items()} | checkpoint.grown(spark)
    rewritten = {
        file.path: file.modified_ms
        for file in files
        if file.bytes >= 0 and noted.get(file.path, file.modified_ms) != file.modified_ms
    }
    if rewritten:
        checkpoint.has_grown(spark, rewritten)
    came = read.rows.count() + len(read.bad_files)
    arrived = unite([*frames, *(read.parts or [read.rows])], read.bad_files)
    return Came(arrived, tuple(files), came - sum(row["count"] for row in of_files))


def _files(spark: SparkSession, folder: str, source: FilesSource, wanted: Sequence[str]) -> list[FileEntry]:
    """The files as they are now; one that is not of the source any more, or gone, is of a length of none."""
    try:
        found = {file.path: file for file in list_files(spark, folder, source.pattern)}
    except FileNotFoundError:
        found = {}
    return [found.get(path, FileEntry(path, 0, -1)) for path in wanted]


def _records(kept: DataFrame, run_id: str, now: datetime) -> list[DataFrame]:
    """The rows that hold their columns, a frame for each set of columns and types that there was."""
    kinds = kept.select(expression(_KIND).alias("kind")).distinct().orderBy("kind").collect()
    return [_of_kind(kept.where(expression(f"{_KIND} = {literal(row.kind)}")), row.kind, run_id, now) for row in kinds]


def _of_kind(rows: DataFrame, kind: str, run_id: str, now: datetime) -> DataFrame:
    """Rows of one set of columns; those whose record does not come back as what it is are unusable."""
    source = F.struct(
        "file",
        "position",
        F.lit(None).alias("topic"),
        F.lit(None).alias("partition"),
        F.lit(None).alias("offset"),
        F.lit(now).alias("ingested_at"),
        F.lit(run_id).alias("run_id"),
    ).cast(SOURCE_TYPE)
    try:
        value, _ = of_json(F.col("record"), cast("StructType", DataType.fromDDL(kind)))
        rows.select(value)
        is_same = F.coalesce(as_json(value) == F.col("record"), F.lit(False))
    except AnalysisException:
        # a map whose keys are no text, and the like
        value, is_same = F.from_json("record", "struct<__nothing: string>"), F.lit(False)
    held = rows.select(
        F.when(is_same, value).alias("__row"),
        source.alias(SOURCE),
        F.when(~is_same, F.coalesce(TEXT, "record")).alias(RAW),
        F.col(TEXT),
        F.when(~is_same, CHANGED).alias(CODE),
        F.when(~is_same, "what was kept of it is not exactly what was received").alias(MESSAGE),
    )
    return held.select("__row.*", SOURCE, RAW, TEXT, CODE, MESSAGE).drop("__nothing")
