"""``--full-refresh``: the target is rebuilt from the start beside the old one, then takes its place in one commit."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lakehouse.check.quarantine import REPLAY, REQUEUE
from lakehouse.errors import CommitMissingError, ConfigError, SourceEmptyError
from lakehouse.lake.batch import Identity
from lakehouse.lake.frame import literal
from lakehouse.lake.look import look
from lakehouse.lake.statements import run_sql
from lakehouse.lake.storage import local
from lakehouse.lake.table import AUXILIARY, Table, commits, exists, head, layout, read_table
from lakehouse.runtime import stream
from lakehouse.runtime.journal import Journal
from lakehouse.spec.failures import NEVER
from lakehouse.write.commit import REFRESH
from lakehouse.write.definition import MODE, changed

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.runtime.batch import Outcome
    from lakehouse.runtime.workplace import Workplace


REBUILT = "/_refresh/"
"""Within a lake, where tables are rebuilt."""


@dataclass(frozen=True)
class _Beside:
    """Where a rebuild grows, and the checkpoint that its own will replace."""

    table: Table
    checkpoint: Checkpoint
    folders: tuple[Path, Path]
    replaces: Path


def _beside(work: Workplace) -> _Beside | None:
    table = Table(work.job.write.table, f"{work.lake.root}{REBUILT}{work.job.job}")
    checkpoint = work.lake.checkpoint(f"{work.job.job}.refresh")
    folders = local(table.path), local(checkpoint.path), local(work.lake.checkpoint(work.job.job).path)
    if folders[0] is None or folders[1] is None or folders[2] is None:
        return None
    return _Beside(table, checkpoint, (folders[0], folders[1]), folders[2])


def _whole_source(work: Workplace) -> None:
    _, source = work.job.stream
    if archive := getattr(source, "archive_to", None):
        message = f"{work.job.job} moves what it has read to {archive}: its source holds only what is new"
        hint = "move those files back into the source's folder, and take archive_to out for this run"
        raise ConfigError(message, hint=hint)


def run(
    work: Workplace, spark: SparkSession, target: Table, done: Callable[[Outcome], None], stop: threading.Event
) -> None:
    """Rebuild the target. Readers see the old one until one commit makes it the new one; its history stays.

    Raises:
        ConfigError: the lake is not on this machine's file system, where a checkpoint can be renamed; or files that
            were read are archived, so that the source does not begin at its start.
    """
    _whole_source(work)
    beside = _beside(work)
    if beside is None:
        message = f"--full-refresh renames a checkpoint, which {work.lake.root} cannot do"
        raise ConfigError(message, hint="move the checkpoint away by hand and give the target another name")
    _clear(beside)
    _rebuild(work, spark, beside, done, stop)
    if stop.is_set():
        _clear(beside)
        return
    rebuilt = head(spark, beside.table)
    if rebuilt is None:
        _clear(beside)
        message = f"{work.job.job}: there is nothing to rebuild {target.name} from; it stays as it is"
        raise SourceEmptyError(message, hint="look into the quarantine: no row of the source was accepted")
    # what is remembered goes with the table, also where that is nothing
    (beside.folders[0] / AUXILIARY).mkdir(exist_ok=True)
    identity = Identity(work.job.job, work.run_id, str(beside.checkpoint.id(spark)), 0)
    shape = layout(spark, beside.table)
    frame = read_table(spark, beside.table, rebuilt.version)
    writer = (
        frame.write.format("delta")
        .mode("overwrite")
        .option("overwriteSchema", "true")
        .options(**identity.options(REFRESH, {}))
    )
    if shape.partition_by:
        writer = writer.partitionBy(*shape.partition_by)
    if shape.cluster_by:
        writer = writer.clusterBy(*shape.cluster_by)
    writer.save(target.path)
    newest = head(spark, target)
    if newest is None or not identity.made(newest.note, REFRESH):
        message = f"{target.name} was rebuilt, yet its newest commit is not the rebuilt table"
        raise CommitMissingError(message)
    finish(work, spark, target)


def _rebuild(
    work: Workplace, spark: SparkSession, beside: _Beside, done: Callable[[Outcome], None], stop: threading.Event
) -> None:
    """Write the table anew of what is there now, also where the job's trigger has no end.

    Nothing is held: the old table is there to the end, and no batch is asked for by itself.
    """
    catch_up = replace(work, job=work.job.model_copy(update={"trigger": "available_now", "breaker": NEVER}))
    journal = Journal(spark, work.lake.ledger)
    stream.run(catch_up, beside.table, beside.checkpoint, done, journal, stop)
    journal.flush()


def finish(work: Workplace, spark: SparkSession, target: Table) -> None:
    """Put the rebuilt checkpoint in the old one's place, if the table was swapped and the checkpoint was not yet."""
    beside = _beside(work)
    if beside is None or not beside.folders[1].is_dir():
        return
    if beside.checkpoint.owner(spark).get("target", target.name) != target.name:
        # a replay into another table is no end of it
        return
    identity = Identity(work.job.job, work.run_id, str(beside.checkpoint.id(spark)), 0)
    if any(identity.made(commit.note, REFRESH) for commit in commits(spark, target, 20)):
        # what the old checkpoint put aside, the rebuild has put aside again
        quarantine, old = work.lake.quarantine(target.name), work.lake.checkpoint(work.job.job).id(spark)
        if old and exists(spark, quarantine):
            others = f"(stream LIKE '{REQUEUE}%' OR stream LIKE '{REPLAY}%')"
            again = f"job = {literal(work.job.job)} AND {others}"
            run_sql(spark, f"DELETE FROM {quarantine.sql} WHERE stream = {literal(old)} OR ({again})")  # noqa: S608 -- quoted
        _define(work, spark, target)
        _take_memory(beside, target)
        shutil.rmtree(beside.replaces, ignore_errors=True)
        beside.folders[1].replace(beside.replaces)
    _clear(beside)


def _define(work: Workplace, spark: SparkSession, target: Table) -> None:
    """Let the table say what it is written by now, where it says something else from before."""
    found = look(spark, target)
    old = found.properties if found else {}
    if new := {name: value for name, value in changed(old, work.job.write).items() if MODE in old}:
        if work.job.write.mode != "append":
            # its readers are given its changes
            new["delta.enableChangeDataFeed"] = "true"
        listed = ", ".join(f"{literal(name)} = {literal(value)}" for name, value in new.items())
        run_sql(spark, f"ALTER TABLE {target.sql} SET TBLPROPERTIES ({listed})")


def _take_memory(beside: _Beside, target: Table) -> None:
    """Put what the rebuilt table remembers in the place of what the old one did, unless that is done already."""
    new, place = beside.folders[0] / AUXILIARY, local(target.path)
    if place is not None and new.is_dir():
        shutil.rmtree(place / AUXILIARY, ignore_errors=True)
        new.replace(place / AUXILIARY)


def _clear(beside: _Beside) -> None:
    for folder in beside.folders:
        shutil.rmtree(folder, ignore_errors=True)
