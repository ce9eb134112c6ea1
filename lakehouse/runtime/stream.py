"""A job with an incremental source: Structured Streaming says what is new, in batches, until nothing is left."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pyspark.errors import StreamingQueryException

from lakehouse.errors import (
    CheckpointError,
    FileChangedError,
    LakehouseError,
    NotAppendOnlyError,
    SourceEmptyError,
    SourceNotFoundError,
    first_line,
)
from lakehouse.lake.batch import Identity
from lakehouse.lake.storage import FileEntry, entries, list_files, local
from lakehouse.lake.table import exists
from lakehouse.read import files, tables
from lakehouse.runtime.batch import Incoming, explained, pinned, process
from lakehouse.spec.source import FilesSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.lake.table import Table
    from lakehouse.runtime.batch import Outcome
    from lakehouse.runtime.workplace import Workplace
    from lakehouse.write.commit import WriteResult


def explain(work: Workplace, spark: SparkSession, target: Table, checkpoint: Checkpoint) -> WriteResult | None:
    """What the next batch would do to the target; None where there is none. The checkpoint is a copy, to be used up."""
    planned: list[WriteResult] = []

    def look(batch: DataFrame, number: int) -> None:
        incoming, inputs = _incoming(work, batch, number, checkpoint)
        identity = Identity(work.job.job, work.run_id, "plan", number, inputs={incoming.name: inputs})
        versions = pinned(work, batch.sparkSession, identity, may_be_replay=False)
        planned.append(explained(work, batch.sparkSession, identity, versions, incoming, target=target))
        raise _EnoughError

    try:
        _stream(work, spark, target, checkpoint, look)
    except _EnoughError:
        return planned[0]
    return None


class _EnoughError(Exception):
    """The first batch is all that was wanted."""


def run(
    work: Workplace, spark: SparkSession, target: Table, checkpoint: Checkpoint, done: Callable[[Outcome], None]
) -> None:
    """Run every batch that is due.

    Raises:
        LakehouseError: what a batch raised; the batches before it stay, and it is run again next time.
    """
    pending = checkpoint.pending(spark)

    def each(batch: DataFrame, number: int) -> None:
        done(_one(work, batch, number, target, checkpoint, may_be_replay=number == pending))

    if checkpoint.wrote(spark) and not exists(spark, target):
        message = f"{checkpoint.path} has read what made {target.name}, which is not there any more"
        raise CheckpointError(message, hint="put the table back, or build it anew with --full-refresh")
    _stream(work, spark, target, checkpoint, each)


def _stream(
    work: Workplace,
    spark: SparkSession,
    target: Table,
    checkpoint: Checkpoint,
    each: Callable[[DataFrame, int], None],
) -> None:
    """Hand over every batch that is due.

    Raises:
        LakehouseError: what a batch raised; the batches before it stay, and it is run again next time.
    """
    name, source = work.job.stream
    where = work.folders[name] if isinstance(source, FilesSource) else source.table
    if isinstance(source, FilesSource):
        look_at(spark, where, source, checkpoint)
        frame = files.stream(spark, where, source)
    else:
        frame = tables.stream(spark, work.lake.table(where), source)
    checkpoint.claim(spark, {"job": work.job.job, "source": where, "target": target.name})
    failures: list[Exception] = []

    def noted(batch: DataFrame, number: int) -> None:
        try:
            each(batch, number)
        except Exception as failure:
            failures.append(failure)
            raise

    query = (
        frame.writeStream.foreachBatch(noted)
        .queryName(f"{work.job.job} {work.run_id}")
        .option("checkpointLocation", checkpoint.path)
        .trigger(availableNow=True)
        .start()
    )
    try:
        query.awaitTermination()
    except StreamingQueryException as error:
        if failures:
            raise failures[0] from None
        raise _typed(error, where) from error
    finally:
        query.stop()


def _one(
    work: Workplace, batch: DataFrame, number: int, target: Table, checkpoint: Checkpoint, *, may_be_replay: bool
) -> Outcome:
    spark = batch.sparkSession
    incoming, inputs = _incoming(work, batch, number, checkpoint)
    stream = str(checkpoint.id(spark))
    identity = Identity(work.job.job, work.run_id, stream, number, again=may_be_replay, inputs={incoming.name: inputs})
    versions = pinned(work, spark, identity, may_be_replay=may_be_replay)
    outcome = process(work, spark, identity, versions, incoming, target=target, may_be_replay=may_be_replay)
    if outcome.written.version is not None:
        checkpoint.has_written(spark)
    return outcome


def _incoming(
    work: Workplace, batch: DataFrame, number: int, checkpoint: Checkpoint
) -> tuple[Incoming, dict[str, Any]]:
    """How the batch is read, and what it is: its files, or where in its table it ends."""
    spark = batch.sparkSession
    name, source = work.job.stream
    if isinstance(source, FilesSource):
        found = _files(batch, number, checkpoint)
        now = datetime.now(UTC)
        arrive = partial(files.read_files, spark, found, source, run_id=work.run_id, now=now)
        inputs: dict[str, Any] = {"files": [[file.path, file.modified_ms, file.bytes] for file in found]}
        return Incoming(name, arrive, source.contract, "null"), inputs
    end = checkpoint.offset(spark, number)
    inputs = {"table": source.table, "version": end.get("reservoirVersion"), "index": end.get("index")}
    return Incoming(name, partial(tables.arrived, batch), source.contract, "error"), inputs


def _files(batch: DataFrame, number: int, checkpoint: Checkpoint) -> list[FileEntry]:
    """The files of the batch; those of zero bytes are in the checkpoint, but Spark's source makes no row of them."""
    found = entries(batch)
    known = {file.path for file in found}
    taken = checkpoint.files_of(batch.sparkSession, number)
    # of a length of none: one that was mended away since the batch was begun
    lost = {path: 0 if (place := local(path)) is None or place.exists() else -1 for path in taken.keys() - known}
    return sorted([*found, *(FileEntry(path, taken[path], length) for path, length in lost.items())])


def look_at(spark: SparkSession, folder: str, source: FilesSource, checkpoint: Checkpoint) -> None:
    """Look at the folder before Spark does, for what Spark passes over without a word.

    Raises:
        SourceNotFoundError: there is no such folder.
        SourceEmptyError: it is empty, and has been all along.
        FileChangedError: a file was rewritten under its name after it was read.
    """
    place = local(folder)
    if place is not None and not place.is_dir():
        message = f"no folder {folder}"
        raise SourceNotFoundError(message, hint="look at the source's path, and at --param")
    taken = checkpoint.files(spark)
    found = list_files(spark, folder, source.pattern)
    if not found and not taken and not source.allow_empty:
        message = f"{folder} holds no file that matches {source.pattern}, and never has"
        raise SourceEmptyError(message, hint="look at the source's path and pattern, or say allow_empty: true")
    pending = checkpoint.pending(spark)
    # a batch that is still to be read takes its files as they are now
    open_files = checkpoint.files_of(spark, pending) if pending is not None else {}
    read = {path: modified for path, (modified, _) in taken.items() if path not in open_files}
    changed = [file.path for file in found if read.get(file.path, file.modified_ms) != file.modified_ms]
    if changed and source.on_changed == "fail":
        message = f"{len(changed)} files were rewritten after they were read, first {changed[0]}"
        raise FileChangedError(message, hint="deliver what is new under a new name, or say on_changed: ignore")


def _typed(error: StreamingQueryException, where: str) -> LakehouseError:
    text = str(error)
    if "DELTA_SOURCE_TABLE_IGNORE_CHANGES" in text or "DELTA_SOURCE_IGNORE_DELETE" in text:
        message = f"{where} was changed by more than appends, so it cannot be read as a stream"
        return NotAppendOnlyError(message, hint="read it as it is (leave out stream: true)")
    return LakehouseError(f"the stream of {where} failed: {first_line(error)}")
