"""A Delta log in a folder, read as it lies there, whoever wrote it.

Delta's protocol fixes the actions that make the table. ``commitInfo`` it leaves to the writer: Spark writes metrics as
texts, delta-rs as numbers, others as objects, as NULL or not at all. So nothing here takes a value for what it should
be: what has another type is left out, and what the log does not say Spark is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_COMMIT = re.compile(r"([0-9]{20})\.json")
_CHECKPOINT = re.compile(r"([0-9]{20})\.checkpoint\..*parquet")
_SEEN: dict[Path, int] = {}
"""The newest version that was seen in each log; no more than where to begin to look."""

_WHOLE = re.compile(r"-?[0-9]{1,18}")

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("job", "run_id", "stream", "step", "of", "strategy", "why", "action"), str),
    **dict.fromkeys(("batch", "failures"), int),
    "version": (int, type(None)),
    "beside": bool,
    **dict.fromkeys(("inputs", "rows", "rules", "counts"), dict),
    "hold": (dict, type(None)),
    "let_through": (list, type(None)),
    "quality": list,
}
"""What this library notes in a commit; a note with another type under one of these names is somebody else's."""
_OF_A_BATCH = ("job", "run_id", "batch")
"""What a note also says that names a ``stream``."""


@dataclass(frozen=True)
class Info:
    """What a commit says of itself: what made it, its whole-number metrics, this library's note, and when it was made.

    ``at`` is UTC, to the millisecond; empty where nothing tells. ``restored`` is the version, or else the time, that a
    RESTORE went back to.
    """

    operation: str = ""
    metrics: dict[str, int] = field(default_factory=dict)
    note: dict[str, Any] = field(default_factory=dict)
    at: str = ""
    restored: str = ""


def read_info(log: Path, version: int) -> Info | None:
    """What a commit says of itself; None where the log has neither the commit nor a checkpoint of it.

    The time of a commit that does not say it is that of its file, as Delta has it.
    """
    file = commit_file(log, version)
    try:
        info = parse_info(next((said for _, said in read_actions(file, ("commitInfo",))), {}))
    except FileNotFoundError:
        file = next(log.glob(f"{version:020d}.checkpoint.*parquet"), file)
        if not file.exists():
            return None
        info = Info()
    return info if info.at else replace(info, at=_utc(file.stat().st_mtime))


def parse_info(said: Mapping[str, Any]) -> Info:
    """What is known of a ``commitInfo``; what has another type than it should is left out."""
    operation = said.get("operation")
    times = (said.get(name) for name in ("inCommitTimestamp", "timestamp"))
    at = next((text for one in times if (text := _utc_of_ms(one))), "")
    name = operation if isinstance(operation, str) else ""
    restored = _restored(said.get("operationParameters")) if name == "RESTORE" else ""
    metrics, note = parse_metrics(said.get("operationMetrics")), parse_note(said.get("userMetadata"))
    return Info(name, metrics, note, at, restored)


def _restored(parameters: object) -> str:
    """What a RESTORE went back to; empty where it does not say."""
    if not isinstance(parameters, Mapping):
        return ""
    version, time = parameters.get("version"), parameters.get("timestamp")
    return str(version if version is not None else time or "")


def parse_metrics(metrics: object) -> dict[str, int]:
    """The metrics that are whole numbers, whether they are written as numbers or as texts."""
    if not isinstance(metrics, Mapping):
        return {}
    return {name: number for name, value in metrics.items() if (number := _whole(value)) is not None}


def parse_note(text: object) -> dict[str, Any]:
    """What this library noted in ``userMetadata``; empty where that is somebody else's."""
    told = _json(text) if isinstance(text, str) else None
    note = told.get("lakehouse") if isinstance(told, dict) else None
    if not isinstance(note, dict):
        return {}
    typed = all(_is_a(note[name], kind) for name, kind in _TYPES.items() if name in note)
    whole = "step" in note and ("stream" not in note or all(name in note for name in _OF_A_BATCH))
    return note if typed and whole else {}


def read_actions(file: Path, kinds: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The actions of these kinds in a commit, each with its kind.

    Raises:
        FileNotFoundError: there is no such commit.
    """
    marks = [f'"{kind}"' for kind in kinds]
    # a line is an action; the mark keeps most of them from being parsed
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            action = _json(line) if any(mark in line for mark in marks) else None
            for kind, said in action.items() if isinstance(action, dict) else ():
                if kind in kinds and isinstance(said, dict):
                    yield kind, said


def read_checksum(log: Path, version: int) -> dict[str, Any]:
    """The checksum file of a version, which holds the state of the table; empty where there is none."""
    try:
        told = _json((log / f"{version:020d}.crc").read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return {}
    return told if isinstance(told, dict) else {}


def commit_file(log: Path, version: int) -> Path:
    """Where a commit is."""
    return log / f"{version:020d}.json"


def newest_version(log: Path) -> int:
    """The newest version in a log; -1 where there is none.

    It is looked for from the newest that was seen before: a live stream makes some 100,000 commits a day, and to list
    them takes a good part of a batch. A folder that was made anew since is listed, unless it has that version, too.
    """
    at = _SEEN.get(log, -1)
    if at < 0 or not commit_file(log, at).exists():
        at = max(_versions(log, _COMMIT), default=-1)
        # a writer that cleans the log may leave no more than a checkpoint
        at = max([at, *_versions(log, _CHECKPOINT)])
    while at >= 0 and commit_file(log, at + 1).exists():
        at += 1
    _SEEN[log] = at
    return at


def _versions(log: Path, form: re.Pattern[str]) -> list[int]:
    try:
        return [int(found[1]) for path in log.iterdir() if (found := form.fullmatch(path.name))]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _json(text: str) -> Any:
    """A text as JSON; None where it is none, or nested beyond what can be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _whole(value: object) -> int | None:
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    # to Python, true is a number
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _utc_of_ms(ms: object) -> str:
    """A time in ms since 1970; empty where that is no time."""
    number = _whole(ms)
    try:
        return "" if number is None else _utc(number / 1000)
    except (OverflowError, ValueError, OSError):
        return ""


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
