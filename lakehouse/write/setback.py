"""Whether a table still has what a job committed to it: somebody may have restored it, or put a copy in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.errors import CheckpointError
from lakehouse.lake.effective import effective, is_untold
from lakehouse.lake.table import Commit, commits
from lakehouse.write.commit import FAR_BACK, REFRESH, REPAIR, STEP, UNDO

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Table

_OWN = (STEP, REPAIR, REFRESH, UNDO)

_FEW = 100
"""Commits that are asked for first: storage that is no folder is slow to tell all."""


def newest_of(spark: SparkSession, table: Table, job: str) -> Commit | None:
    """The newest commit of a job; None where there is none."""
    return next((one for one in _since(spark, table, job) if is_of(one, job)), None)


def _since(spark: SparkSession, table: Table, job: str) -> list[Commit]:
    """The commits down to the newest of a job, newest first; all where there is none."""
    seen: list[Commit] = []
    for limit in (_FEW, FAR_BACK):
        seen = []
        for commit in commits(spark, table, limit):
            seen.append(commit)
            if is_of(commit, job):
                return seen
        if len(seen) < limit:
            break
    return seen


def is_of(commit: Commit, job: str) -> bool:
    """Whether a commit is a job's own."""
    return commit.note.get("job") == job and commit.note.get("step") in _OWN


def mark(commit: Commit) -> dict[str, Any]:
    """What of a commit is kept with the checkpoint, by which it is known again."""
    return {"version": commit.version, "run_id": commit.note.get("run_id")}


def check_history(spark: SparkSession, table: Table, job: str, reached: Mapping[str, Any]) -> None:
    """Hold a table against what a job committed to it.

    Args:
        spark: the session.
        table: the target.
        job: the job's name.
        reached: the mark of the job's newest commit after its last run; empty where nothing was noted.

    Raises:
        CheckpointError: a commit of the job was taken back by no command of this library.
    """
    seen = _since(spark, table, job)
    _not_restored(seen, table, job)
    _not_replaced(spark, seen, table, job, reached)


def _not_restored(seen: list[Commit], table: Table, job: str) -> None:
    """Hold the newest commit of a job against every RESTORE that came after it."""
    if not seen or not is_of(seen[-1], job):
        return
    hold = list(effective(seen))
    if seen[-1] not in hold:
        restore = next(one for one in seen if one.restored)
        message = (
            f"{table.name} was restored by hand (version {restore.version}) to {restore.restored}, which took back "
            f"version {seen[-1].version} of {job}: what that read would never come again"
        )
        hint = (
            f"lakehouse recover {job} lets it come again with the next run; to have its rows back as they were: "
            f"RESTORE TABLE … TO VERSION AS OF {restore.version - 1}"
        )
        raise CheckpointError(message, hint=hint)
    if untold := next((one for one in hold if is_untold(one)), None):
        message = (
            f"{table.name} was restored by hand (version {untold.version}), and the log does not tell to which "
            f"version: whether that took back version {seen[-1].version} of {job} cannot be told"
        )
        raise CheckpointError(message, hint=untold_hint(untold))


def untold_hint(restore: Commit) -> str:
    """The ways out of a RESTORE that does not tell its version."""
    return (
        f"RESTORE TABLE … TO VERSION AS OF {restore.version - 1} brings back what was there before it; from there "
        "restore by a version, not by a time; or build it anew with --full-refresh"
    )


def _not_replaced(spark: SparkSession, seen: list[Commit], table: Table, job: str, reached: Mapping[str, Any]) -> None:
    """Hold the log against the commit that was there after the last run."""
    if not reached:
        return
    version, newest = reached["version"], seen[0].version if seen else -1
    log = commits(spark, table, newest - version + 1) if newest >= version else ()
    there = next((one for one in log if one.version == version), None)
    # one that was cleaned out of the log, or of which only a checkpoint is left, may have been it
    is_told = there is not None and bool(there.operation or there.note)
    is_another = there is not None and is_told and there.note.get("run_id") != reached["run_id"]
    if newest < version or is_another:
        message = (
            f"{table.name} is at version {newest} and lacks version {version} of {job}: "
            "it was put back from a copy, or made again"
        )
        hint = f"put the newest copy back; or lakehouse recover {job}: what it lacks comes again with the next run"
        raise CheckpointError(message, hint=hint)
