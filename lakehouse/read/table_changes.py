"""What was done to a table that is read as a stream, beside appends, as far as its log on this machine tells.

Delta's stream ends at most of it, each with words of its own, and passes over a table that was replaced by SQL: what
was in it before stays in the target as if it were still there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lakehouse.errors import LakehouseError, NotAppendOnlyError, SourceChangedError, SourceGrownError
from lakehouse.lake.log import commit_file, read_actions
from lakehouse.lake.storage import local

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.lake.table import Commit, Table

_REFRESH = "refresh"
"""The step that a commit notes which put a rebuilt table in the place of the old one."""

_COLUMNS = {
    "RENAME COLUMN": "a column was renamed",
    "DROP COLUMNS": "a column was dropped",
    "REPLACE COLUMNS": "its columns were replaced",
}

WAY = (
    "--full-refresh of this job rebuilds its target from the table as it is now; until then nothing that was "
    "written is touched"
)

_OTHER_TABLE = "DIFFERENT_DELTA_TABLE_READ_BY_STREAMING_SOURCE"
_SCHEMA = ("DELTA_STREAMING_INCOMPATIBLE_SCHEMA_CHANGE", "DELTA_SCHEMA_CHANGED")
_ROWS = ("DELTA_SOURCE_TABLE_IGNORE_CHANGES", "DELTA_SOURCE_IGNORE_DELETE")
_HARMLESS = (
    "CREATE TABLE",
    "WRITE",
    "STREAMING UPDATE",
    "ADD COLUMNS",
    "OPTIMIZE",
    "SET TBLPROPERTIES",
    "CHANGE COLUMN",
)
_VERSION = re.compile(r"version:? (\d+)")


def check_log(
    table: Table, log: Sequence[Commit], offset: Mapping[str, Any], undone: Sequence[tuple[int, int]] = ()
) -> None:
    """Look for what no stream can go on from, in the commits that were not read yet.

    Args:
        table: the table.
        log: its commits, newest first, at least those from the offset's version on.
        offset: Delta's own, of what was read.
        undone: commits that were undone, as the first and the last of each: nothing of them counts.

    Raises:
        SourceChangedError: the table was made again, rebuilt, or its columns were renamed or dropped.
    """
    is_within = offset["index"] >= 0 or offset["isStartingVersion"]
    since = offset["reservoirVersion"] + (1 if is_within else 0)
    made = (_said(table, 0, "metaData") or {}).get("id")
    if made is not None and made != offset.get("reservoirId", made) and not _is_replaced(table, offset["reservoirId"]):
        message = f"{table.name} was made again: it is not the table that this job has read"
        raise SourceChangedError(message, hint=WAY)
    if (log[0].version if log else -1) < offset["reservoirVersion"] - 1:
        message = f"{table.name} ends before what this job has read of it: it was made again, or put back"
        raise SourceChangedError(message, hint=WAY)
    for one in reversed(log):
        if one.version >= since and not any(first <= one.version <= last for first, last in undone):
            _check_commit(table, one)


def _is_replaced(table: Table, known: str) -> bool:
    """Whether a commit of the log gave the table the id that is known: its first commit had another one."""
    place = local(table.path)
    logs = sorted((place / "_delta_log").glob("*.json")) if place else []
    return any(known in path.read_text(encoding="utf-8", errors="replace") for path in logs)


def _check_commit(table: Table, commit: Commit) -> None:
    if commit.note.get("step") == _REFRESH:
        did = f"was rebuilt by --full-refresh of {commit.note.get('job')}"
    elif "REPLACE TABLE" in commit.operation:
        did = "was replaced"
    elif commit.operation in _COLUMNS:
        did = f"was altered: {_COLUMNS[commit.operation]}"
    else:
        return
    message = f"{table.name} {did} (version {commit.version}, {commit.at}) after this job began to read it"
    raise SourceChangedError(message, hint=WAY)


def failure_of(table: Table, error: str) -> LakehouseError | None:
    """What Delta's words on a stream mean; None where they are of something else."""
    if any(mark in error for mark in _ROWS):
        message = f"{table.name} was changed by more than appends, so it cannot be read as a stream"
        hint = f"read it as it is (leave out stream: true); if it was changed this once: {WAY}"
        return NotAppendOnlyError(message, hint=hint)
    if _OTHER_TABLE in error:
        return SourceChangedError(f"{table.name} was made again: it is not the table that was read", hint=WAY)
    if not any(mark in error for mark in _SCHEMA):
        return None
    found = _VERSION.search(error[max(map(error.find, _SCHEMA)) :])
    version = int(found[1]) if found else None
    if version is not None and _said(table, version) is not None and _only_adds(table, version):
        message = f"{table.name} got new columns (version {version}) while it was read"
        return SourceGrownError(message, hint="the run can be repeated: it goes on with the new columns")
    at = f" (version {version})" if version is not None else ""
    message = f"{table.name} has other columns, types or partitions{at} than when this job began to read it"
    return SourceChangedError(message, hint=WAY)


def _only_adds(table: Table, version: int) -> bool:
    """Whether the commits from one on added columns and rows, and none replaced the table or altered what was there.

    The version that Delta tells is one that it was reading, not always that which changed the columns.
    """
    while (told := _said(table, version)) is not None:
        operation, given = told.get("operation"), told.get("operationParameters")
        mode = given.get("mode") if isinstance(given, dict) else None
        known = isinstance(operation, str) and operation in _HARMLESS
        if not known or (operation == "WRITE" and mode != "Append"):
            return False
        version += 1
    return True


def _said(table: Table, version: int, kind: str = "commitInfo") -> dict[str, Any] | None:
    """An action of a commit; None where its file is not there any more, or not on this machine."""
    place = local(table.path)
    path = commit_file(place / "_delta_log", version) if place else None
    if path is None or not path.is_file():
        return None
    return next((said for _, said in read_actions(path, (kind,))), {})
