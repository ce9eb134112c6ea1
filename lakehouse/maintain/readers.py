"""Who has still to read older versions of a table: the checkpoints of the lake tell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from lakehouse.lake.statements import run_sql
from lakehouse.lake.storage import list_files, read_lines
from lakehouse.lake.table import commits, head
from lakehouse.maintain.commit import MOVES

if TYPE_CHECKING:
    from collections.abc import Collection

    from pyspark.sql import SparkSession

    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.lake.place import Lake
    from lakehouse.lake.table import Table

_MARGIN = timedelta(hours=1)
"""A file is marked as removed when its writer begins to commit, which is before the commit has its time."""


@dataclass(frozen=True)
class Need:
    """A reader that must find the files that were part of the table at a time or since; None: that cannot be told."""

    reader: str
    since: datetime | None
    why: str


def needs(spark: SparkSession, lake: Lake, table: Table, *, unconcerned: Collection[str] = ()) -> list[Need]:
    """What the lake's checkpoints say of the table; a reader that has read everything needs nothing.

    Args:
        spark: the session.
        lake: where the checkpoints are.
        table: the table to be read.
        unconcerned: the jobs that are known not to read the table as it is, at a version fixed for each batch. Of any
            other, a batch that was begun and not ended may need it as it was when the batch was begun.
    """
    found: list[Need] = []
    names = _names(spark, lake)
    # the id by which a checkpoint knows its source
    table_id = run_sql(spark, f"DESCRIBE DETAIL {table.sql}").collect()[0].id if names else ""
    for name in names:
        checkpoint, job = lake.checkpoint(name), name.removesuffix(".refresh")
        need = _streaming(spark, checkpoint, name, table, table_id)
        if need:
            found.append(need)
        if job not in unconcerned and (pending := checkpoint.pending(spark)) is not None:
            why = f"batch {pending} of {name}, which may read the table as it was then, was begun and not ended"
            found.append(Need(name, _begun(spark, checkpoint, pending), why))
    return found


def _names(spark: SparkSession, lake: Lake) -> list[str]:
    """The lake's checkpoints; one without Spark's own file has read nothing yet."""
    try:
        files = list_files(spark, f"{lake.root}/_checkpoints", "metadata")
    except FileNotFoundError:
        return []
    except Exception as error:
        if "PATH_NOT_FOUND" in str(error):
            return []
        raise
    places = (PurePath(file.path).parts for file in files)
    return sorted({parts[-2] for parts in places if parts[-3] == "_checkpoints"})


def _streaming(spark: SparkSession, checkpoint: Checkpoint, name: str, table: Table, table_id: str) -> Need | None:
    """What a checkpoint needs whose stream reads the table; None where it reads something else, or needs nothing."""
    newest, pending = checkpoint.last_offset(spark), checkpoint.pending(spark)
    if newest.get("reservoirId", table_id) != table_id:
        # another table, or one that lay here before this one and whose stream cannot go on
        return None
    if "reservoirId" not in newest and _owner(spark, checkpoint) != table.name:
        return None
    if pending is None and not newest:
        # no batch was ever begun: the first one reads the table as it is then
        return None
    if pending == 0:
        return Need(name, _begun(spark, checkpoint, pending), f"batch 0 of {name} was begun and not ended")
    start = newest if pending is None else checkpoint.offset(spark, pending - 1)
    if not isinstance(start.get("reservoirVersion"), int):
        return Need(name, None, f"{checkpoint.path} does not say how far {name} has read")
    return _from(spark, table, name, start["reservoirVersion"], whole=bool(start.get("isStartingVersion")))


def _from(spark: SparkSession, table: Table, name: str, version: int, *, whole: bool) -> Need | None:
    """What a stream needs that goes on at a version; ``whole``: it reads the table as of that version first."""
    top = head(spark, table)
    if top is None or version > top.version:
        return None
    unread = [one for one in commits(spark, table, top.version - version + 1) if one.version >= version]
    if len(unread) != top.version - version + 1:
        return Need(name, None, f"{name} has read up to version {version}, whose time the log does not tell any more")
    if not whole:
        unread = [one for one in unread if one.operation not in MOVES]
    if not unread:
        return None
    since = datetime.fromisoformat(unread[-1].at).replace(tzinfo=UTC) - _MARGIN
    return Need(name, since, f"{name} has read up to version {version} of {top.version}")


def _owner(spark: SparkSession, checkpoint: Checkpoint) -> Any:
    """What the job said that it reads, when it made the checkpoint its own."""
    lines = read_lines(spark, f"{checkpoint.path}/owner.json")
    try:
        return json.loads(lines[0]).get("source") if lines else None
    except (ValueError, AttributeError):
        return None


def _begun(spark: SparkSession, checkpoint: Checkpoint, batch: int) -> datetime | None:
    files = list_files(spark, f"{checkpoint.path}/offsets", str(batch))
    times = [datetime.fromtimestamp(file.modified_ms / 1000, UTC) for file in files]
    return min(times) - _MARGIN if times else None
