"""Delta tables of the lake: what was appended since the last run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from lakehouse.errors import ImbalanceError, LogUnreadableError, RecordsLostError, RecoveryError, ReservedNameError
from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, Arrived, sourced
from lakehouse.lake.frame import of_json
from lakehouse.lake.storage import local
from lakehouse.lake.table import added_files, commits, head, read_table
from lakehouse.read import event_time
from lakehouse.read.feed import Behind, Due, Taken
from lakehouse.read.table_changes import check_log, failure_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.errors import LakehouseError
    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.lake.table import Commit, Table
    from lakehouse.read.feed import Span
    from lakehouse.spec.contract import Contract
    from lakehouse.spec.source import TableSource

_FAR_BACK = 10_000
_ALL = 10_000_000


@dataclass(frozen=True)
class TableFeed:
    """The rows that are appended to a table, from its beginning."""

    table: Table
    source: TableSource
    span: Span | None = None
    missing: ClassVar[Literal["error"]] = "error"

    @property
    def gives_rows(self) -> bool:
        """Unless a state takes the rows up: what is late is told batch by batch."""
        return not self.source.is_stateful

    @property
    def where(self) -> str:
        """The table's name, and what is held of its rows: the checkpoint holds that too."""
        return f"{self.table.name}, {self.source.state}" if self.source.is_stateful else self.table.name

    @property
    def contract(self) -> Contract | None:
        """What its rows are held against."""
        return self.source.contract

    def look(self, spark: SparkSession, checkpoint: Checkpoint) -> bool:
        """Pass over the commits that were undone, with the one that undid them: Delta's stream would end at that.

        What came before them and was not read yet is a batch of its own, up to them.

        Raises:
            SourceChangedError: the table is another one than that which the checkpoint has read.
        """
        done, offset, log = self._unread(spark, checkpoint)
        if done is None:
            return False
        undone = _undone(log)
        check_log(self.table, log, offset, undone)
        for first, last in undone:
            at = offset["reservoirVersion"]
            if last < at or _read_up_to(offset) >= first:
                continue
            if offset["isStartingVersion"] or offset["index"] >= 0 or _changed(log, at, first):
                _end_before(spark, checkpoint, done + 1, _beginning(offset, first))
                return True
            offset = _beginning(offset, last + 1)
            # the one that is begun read what was undone, and is empty now; of the one before, Spark asks where it began
            for batch in (checkpoint.pending(spark), done - 1 if done else None, done):
                if batch is not None:
                    checkpoint.move(spark, batch, offset)
        return False

    def check(self, spark: SparkSession, checkpoint: Checkpoint) -> None:
        """Look for what the next run cannot go on from; nothing is changed.

        Raises:
            SourceChangedError: see ``look``.
        """
        done, offset, log = self._unread(spark, checkpoint)
        if done is not None:
            check_log(self.table, log, offset, _undone(log))

    def _unread(self, spark: SparkSession, checkpoint: Checkpoint) -> tuple[int | None, dict[str, Any], list[Commit]]:
        """The newest batch that is done, where it ended, and the commits since then, newest first; None: there is none.

        Elsewhere than on this machine nothing is undone, and the whole log would have to be asked for.
        """
        done = checkpoint.newest_done(spark) if local(self.table.path) else None
        offset = {} if done is None else checkpoint.offset(spark, done)
        if "reservoirVersion" not in offset:
            return None, {}, []
        since: int = offset["reservoirVersion"]
        # with the last that was read: where all was, that one is the newest that there is
        return done, offset, list(takewhile(lambda one: one.version >= since - 1, commits(spark, self.table, _ALL)))

    def stream(self, spark: SparkSession, run_id: str) -> DataFrame:
        """The rows appended to the table, from its beginning, or those that the commits of a span did."""
        del run_id
        read_table(spark, self.table)
        reader = spark.readStream.format("delta")
        part = self.part(spark)
        if self.span:
            reader = reader.option("startingVersion", str(part[0]) if part else "latest")
        if self.source.max_bytes:
            reader = reader.option("maxBytesPerTrigger", self.source.max_bytes)
        else:
            reader = reader.option("maxFilesPerTrigger", self.source.max_files or 1000)
        rows = with_source(self._of_part(reader.load(self.table.path), part))
        if self.source.watermark:
            return event_time.taken_up(rows.drop(RAW, CODE, MESSAGE), self.source, self.source.watermark)
        return rows

    def part(self, spark: SparkSession) -> tuple[int, int] | None:
        """The first and the last commit of the span; None where there is no span, or no commit of it.

        Raises:
            RecordsLostError: the log was cleaned, and does not go back to where the span begins.
        """
        if self.span is None:
            return None
        begin, end = (at.astimezone(UTC).replace(tzinfo=None) for at in (self.span.begin, self.span.end))
        oldest: Commit | None = None
        found: list[int] = []
        for oldest in commits(spark, self.table, _ALL):
            at = datetime.fromisoformat(oldest.at)
            if at < begin:
                return (min(found), max(found)) if found else None
            if oldest.note.get("step") == "undo":
                message = f"{self.table.name} was set back by version {oldest.version}, after {self.span} begins"
                raise RecoveryError(message, hint="rebuild the target with --full-refresh: it takes the table as it is")
            if at < end:
                found.append(oldest.version)
        if oldest and oldest.version:
            message = f"the log of {self.table.name} was cleaned up to {oldest.at}: commits of {self.span} may be gone"
            raise RecordsLostError(message, hint="begin later, or rebuild the target with --full-refresh")
        return (min(found), max(found)) if found else None

    def _of_part(self, rows: DataFrame, part: tuple[int, int] | None) -> DataFrame:
        """The rows of the files that the commits of the span added; a batch may end within those that follow."""
        if self.span is None or part is None:
            return rows
        files = added_files(self.table, *part)
        return rows.where(F.element_at(F.split(F.input_file_name(), "/"), -1).isin(sorted(files)))

    def _lies(self, spark: SparkSession, number: int, checkpoint: Checkpoint) -> Literal["behind"] | None:
        """Whether a batch begins behind the span."""
        if self.span is None:
            return None
        part = self.part(spark)
        begin = checkpoint.offset(spark, number - 1).get("reservoirVersion") if number else None
        return "behind" if part and begin is not None and int(begin) > part[1] else None

    def take(self, batch: DataFrame, number: int, checkpoint: Checkpoint, run_id: str) -> Taken:
        """One batch, and where in the table's log it ends."""
        del run_id
        spark = batch.sparkSession
        lies = self._lies(spark, number, checkpoint)
        end = checkpoint.offset(spark, number)
        inputs = {
            "table": self.table.name,
            "version": end.get("reservoirVersion"),
            "index": end.get("index"),
            # all of Delta's own: a lost checkpoint is made of it again
            "offset": end,
        }
        if self.source.is_stateful:
            if not checkpoint.is_read_once(spark, number):
                message = f"batch {number} reads {self.table.name} to several places, so its rows cannot be counted"
                raise ImbalanceError(message, hint="a fault of this library, or of Spark")
            # Spark leaves out what was too late for the batch before: what that closed is handed on in this one
            passed = checkpoint.watermark(spark, max(number - 1, 0))
            inputs["watermark"] = datetime.fromtimestamp(passed / 1000, UTC).isoformat() if passed else None
            return Taken(inputs, partial(Arrived, batch, watermark_ms=passed), is_stateful=True, lies=lies)
        return Taken(inputs, partial(Arrived, batch, judged=True), lies=lies)

    def due(self, spark: SparkSession, checkpoint: Checkpoint) -> Due:
        """How far the table is ahead of the checkpoint."""
        newest = head(spark, self.table)
        seen = checkpoint.last_offset(spark).get("reservoirVersion")
        since = "from its beginning" if seen is None else f"what was appended since version {int(seen) - 1}"
        told = f"{self.table.name} up to version {newest.version if newest else 'none'}, {since}"
        return Due(told, event_time.columns(sourced(read_table(spark, self.table)), self.source))

    def behind(self, spark: SparkSession, checkpoint: Checkpoint) -> list[Behind]:
        """The commits of the table that changed rows and were not read yet."""
        offset = checkpoint.committed_offset(spark)
        # an index within a version: that one is not read to its end
        seen = int(offset.get("reservoirVersion", -1)) - 1
        new = [
            one
            for one in takewhile(lambda one: one.version > seen, commits(spark, self.table, _FAR_BACK))
            if one.changes_rows
        ]
        waited = datetime.now(UTC) - datetime.fromisoformat(new[-1].at).replace(tzinfo=UTC) if new else None
        return [Behind(self.table.name, len(new), "commits", round(waited.total_seconds(), 1) if waited else None)]

    def failure(self, error: str) -> LakehouseError | None:
        """What a table says that was changed by more than appends."""
        if "MismatchedInputException" in error or "Cannot deserialize value of type" in error:
            message = f"a commit of {self.table.name} says of itself what Delta's stream cannot read"
            hint = "its writer notes objects where Delta has texts: read the table without stream: true"
            return LogUnreadableError(message, hint=hint)
        if "FILE_NOT_EXIST" in error:
            message = f"files of {self.table.name} that were to be read are gone"
            return RecordsLostError(
                message, hint="vacuum takes those that were brought together; --full-refresh reads these"
            )
        return failure_of(self.table, error)


def _undone(log: Sequence[Commit]) -> list[tuple[int, int]]:
    """The commits of a log, newest first, that were undone: from the first to the one that undid them, oldest first."""
    found: list[tuple[int, int]] = []
    for one in reversed(log):
        if one.note.get("step") == "undo" and one.note.get("version") is not None:
            first = one.note["version"] + 1
            found = [*(gap for gap in found if gap[0] < first), (first, one.version)]
    return found


def _end_before(spark: SparkSession, checkpoint: Checkpoint, batch: int, end: dict[str, Any]) -> None:
    """Let a batch end where it should; one that is begun and ends before that stays as it is."""
    begun = checkpoint.pending(spark)
    if begun is None or _read_up_to(checkpoint.offset(spark, begun)) >= end["reservoirVersion"]:
        checkpoint.move(spark, batch, end)


def _changed(log: Sequence[Commit], since: int, until: int) -> bool:
    return any(since <= one.version < until and one.changes_rows for one in log)


def _read_up_to(offset: Mapping[str, Any]) -> int:
    """The newest version of which an offset has read something; the version in it is the next, but in the midst."""
    version: int = offset["reservoirVersion"]
    return version - 1 if offset["index"] < 0 else version


def _beginning(offset: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Delta's offset before anything of a version was read."""
    return {**offset, "reservoirVersion": version, "index": -1, "isStartingVersion": False}


AS_IT_CAME = "record IS NOT NULL"
"""Which rows of the quarantine hold all that the table had of them."""


def again(rows: DataFrame, table: Table) -> Arrived:
    """Rows of the quarantine as the table had them; those that do not fit its columns any more are put aside again."""
    schema = StructType([field for field in read_table(rows.sparkSession, table).schema.fields if field.name != SOURCE])
    value, is_same = of_json(F.col("record"), schema)
    held = rows.select(
        value.alias("__row"),
        F.col("source").alias(SOURCE),
        F.col("record").alias(RAW),
        F.when(~is_same, "COLUMNS_CHANGED").alias(CODE),
        F.when(~is_same, f"{table.name} has other columns or types than when the row was read").alias(MESSAGE),
    )
    return Arrived(held.select("__row.*", SOURCE, RAW, CODE, MESSAGE))


def with_source(rows: DataFrame) -> DataFrame:
    """The rows of a table as a batch has them; where they do not say where they came from, with an empty ``_source``.

    Raises:
        ReservedNameError: the table has a column with a name that this library uses.
    """
    if own := [name for name in rows.columns if name.startswith("__")]:
        message = f"the table has a column {own[0]}: names that begin with two underscores are reserved"
        raise ReservedNameError(message, hint="rename it where the table is made")
    beside = {name: F.lit(None).cast("string") for name in (RAW, CODE, MESSAGE)}
    return sourced(rows).withColumns(beside)
