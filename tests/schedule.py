"""Which of the slow tests run today, and in what order files are given to the workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

SLOW = {"crash", "servers", "connect", "soak"}
"""The marks of tests of which a seventh runs each day; ``pyproject.toml`` says what they mean."""

SERVERS = {"kafka", "registry", "postgres", "connect"}
"""Fixtures that start a server."""

DURATIONS = Path(__file__).with_name("durations.json")
_UNKNOWN = 20.0


def mark(item: pytest.Item) -> None:
    """Mark a test that asks for a real server."""
    if SERVERS & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.servers)


def is_left_out(item: pytest.Item, day: int) -> bool:
    """Whether a test is a slow one of another day; each has one day of the week, by its name."""
    is_slow = any(one.name in SLOW for one in item.iter_markers())
    return is_slow and crc32(item.nodeid.encode()) % 7 != day % 7


def expected_seconds(item: pytest.Item) -> float:
    """How long the file of a test took when it was last noted."""
    return _read_durations().get(file_of(item.nodeid), _UNKNOWN)


def file_of(nodeid: str) -> str:
    """The file that a test stands in, relative to the project."""
    return nodeid.split("::")[0]


def record(reports: Iterable[Any]) -> None:
    """Note how many seconds each file took; of those that did not run, what was noted before stays."""
    took: dict[str, float] = {}
    for report in reports:
        if hasattr(report, "duration") and hasattr(report, "nodeid"):
            file = file_of(report.nodeid)
            took[file] = took.get(file, 0) + report.duration
    noted = {**_read_durations(), **{file: round(seconds) for file, seconds in took.items()}}
    there = {file: seconds for file, seconds in noted.items() if (DURATIONS.parents[1] / file).exists()}
    DURATIONS.write_text(json.dumps(dict(sorted(there.items())), indent=1) + "\n", encoding="utf-8")


_cache: dict[str, float] = {}


def _read_durations() -> dict[str, float]:
    if not _cache and DURATIONS.exists():
        _cache.update(json.loads(DURATIONS.read_text(encoding="utf-8")))
    return _cache
