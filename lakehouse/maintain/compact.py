"""Purge and optimize: fewer files, clustered, without the rows that are deleted. No row that readers see changes."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakehouse.lake.statements import run_sql
from lakehouse.lake.table import commits
from lakehouse.maintain.commit import Done, attempted, noted
from lakehouse.maintain.files import at_rest, shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Table
    from lakehouse.maintain.commit import Step
    from lakehouse.maintain.files import DataFile, Shape


@dataclass(frozen=True)
class Bounds:
    """From where on it pays to write files again.

    ``small``: files of fewer bytes are brought together, into files of ``target`` bytes. ``files``: so many files fewer
    are worth a commit; so many that are not clustered, too. ``share``: the part of a clustered table that may lie
    unclustered. ``deleted``: the part of the rows that may be deleted and yet lie there. ``cube``: bytes of a clustered
    table that are clustered together; once there are so many, newer rows are clustered by themselves, so that the cost
    follows what is new. ``cubes``: there are at most so many of them in a large table.
    """

    small: int = 64 * 2**20
    target: int = 128 * 2**20
    files: int = 8
    share: float = 0.1
    deleted: float = 0.1
    cube: int = 2**30
    cubes: int = 8


BOUNDS = Bounds()


def compact(spark: SparkSession, table: Table, *, dry_run: bool = False, bounds: Bounds = BOUNDS) -> Iterator[Done]:
    """Purge the table, then optimize it: each where it pays, and once the next is asked for.

    Raises:
        WriteConflictError: other writers were quicker each time.
    """
    if why := at_rest(spark, table, bounds.files, bounds.target):
        yield Done("purge", "nothing", why)
        yield Done("optimize", "nothing", why)
        return
    found = shape(spark, table)
    purged = purge(spark, table, found, dry_run=dry_run, bounds=bounds)
    yield purged
    if purged.status == "done":
        found = shape(spark, table)
    yield optimize(spark, table, found, dry_run=dry_run, bounds=bounds)


def purge(spark: SparkSession, table: Table, found: Shape, *, dry_run: bool = False, bounds: Bounds = BOUNDS) -> Done:
    """Write the files anew that have deletion vectors, where these hide enough rows of the table.

    Delta's REORG does nothing to what is clustered already, so a clustered table is clustered anew as a whole; which
    Delta does as soon as there is a file that is not clustered yet.
    """
    told = f"{found.deleted:,} of {found.rows + found.deleted:,} rows are deleted"
    if found.deleted_share <= bounds.deleted:
        return Done("purge", "nothing", told)
    if dry_run:
        return Done("purge", "planned", told)
    statement = f"OPTIMIZE {table.sql}" if found.clustered_by else f"REORG TABLE {table.sql} APPLY (PURGE)"
    whole = 2 * max(found.bytes, bounds.cube)
    counts = _made(spark, table, "purge", statement, _settings(bounds, whole))
    if not counts["files_before"]:
        return Done("purge", "skipped", f"{told}; Delta writes clustered files anew only together with new ones")
    return Done("purge", "done", told, counts)


def optimize(
    spark: SparkSession, table: Table, found: Shape, *, dry_run: bool = False, bounds: Bounds = BOUNDS
) -> Done:
    """Bring small files together, and cluster what is not clustered, where it pays."""
    full = False
    if found.clustered_by:
        loose, full = _unclustered(spark, table, found)
        pays, told = _clustering_pays(loose, found, bounds)
        told = f"clustered by other columns before; {told}" if full else told
        pays = pays or (full and len(found.files) > 1)
    else:
        pays, told = _compaction_pays(found.files, bounds)
    if not pays:
        return Done("optimize", "nothing", told)
    if dry_run:
        return Done("optimize", "planned", told)
    settings = _settings(bounds, max(bounds.cube, found.bytes // bounds.cubes))
    counts = _made(spark, table, "optimize", f"OPTIMIZE {table.sql}{' FULL' if full else ''}", settings)
    if not counts["files_before"]:
        return Done("optimize", "nothing", f"{told}; Delta found nothing to do")
    return Done("optimize", "done", told, counts)


def _compaction_pays(files: Sequence[DataFile], bounds: Bounds) -> tuple[bool, str]:
    """Whether enough files would be fewer; files of two partitions never become one."""
    small: defaultdict[str, list[int]] = defaultdict(list)
    for file in files:
        if file.bytes < bounds.small:
            small[file.partition].append(file.bytes)
    fewer = sum(len(sizes) - math.ceil(sum(sizes) / bounds.target) for sizes in small.values())
    count = sum(map(len, small.values()))
    return fewer >= bounds.files, f"{count:,} of {len(files):,} files are small"


def _clustering_pays(loose: Sequence[DataFile], found: Shape, bounds: Bounds) -> tuple[bool, str]:
    """Whether enough is not clustered: many files, as each is read whatever is asked for, or a large part."""
    size = sum(file.bytes for file in loose)
    large = size >= bounds.target and size > bounds.share * found.bytes
    told = f"{len(loose):,} of {len(found.files):,} files are not clustered"
    return len(loose) >= bounds.files or large, told


def _unclustered(spark: SparkSession, table: Table, found: Shape) -> tuple[list[DataFile], bool]:
    """The files written since the table was last clustered, and whether its columns of clustering changed since.

    Only the log says which file is clustered, and no reader of Spark shows it; a file's age says almost the same.
    """
    changed = False
    for commit in commits(spark, table, 10_000):
        if commit.operation == "OPTIMIZE":
            at = datetime.fromisoformat(commit.at).replace(tzinfo=UTC).timestamp() * 1000
            return [file for file in found.files if file.modified_ms > at], changed
        changed = changed or commit.operation == "CLUSTER BY"
    return list(found.files), False


def _settings(bounds: Bounds, cube: int) -> dict[str, str]:
    delta = "spark.databricks.delta.optimize."
    return {
        f"{delta}maxFileSize": str(bounds.target),
        f"{delta}minFileSize": str(bounds.small),
        f"{delta}clustering.mergeStrategy.minCubeSize.threshold": str(cube),
        f"{delta}clustering.mergeStrategy.minCubeSize.targetCubeSize": str(cube * 3 // 2),
    }


def _made(spark: SparkSession, table: Table, step: Step, statement: str, settings: Mapping[str, str]) -> dict[str, int]:
    """Run it, and what Delta says that it did; it makes no commit where there is nothing to do."""
    with noted(spark, step, settings):
        metrics = attempted(lambda: run_sql(spark, statement).collect()[0].metrics, table, step)
    vectors = metrics.deletionVectorStats
    return {
        "files_before": metrics.numFilesRemoved,
        "files_after": metrics.numFilesAdded,
        "bytes_before": metrics.filesRemoved.totalSize,
        "bytes_after": metrics.filesAdded.totalSize,
        "rows_purged": vectors.numDeletionVectorRowsRemoved if vectors else 0,
    }
