"""Where a job can be killed: every place at which a clean run of it made something durable."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from lakehouse.certify.failing import Failpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_COMMIT = re.compile(r"(.+)/_delta_log/(\d{20})\.json")
_CHECKPOINT = re.compile(r"_checkpoints/([^/]+)/(sources/\d+|[^/.][^/]*)(?:/(\d+))?")
_DATA = re.compile(r"((?!.*/\.).+)/[^/]*\.(parquet|bin)")
_OF_SPARK = {
    "metadata": "the checkpoint is made",
    "sources/0": "input {} is noted",
    "offsets": "batch {} is begun",
    "commits": "batch {} is ended",
}


@dataclass(frozen=True)
class Point:
    """A place at which the process is killed: what it has just done, or is about to; of which sort that is."""

    name: str
    sort: str
    failpoint: Failpoint


def points(trace: Iterable[str], lake: str) -> list[Point]:
    """The places of a clean run, in the order in which it came to them.

    Args:
        trace: what it did, a line each: ``operation path``.
        lake: the lake's folder; what lies outside of it is nothing that a run makes.
    """
    found: dict[str, Point] = {}
    for line in trace:
        operation, path = line.split(" ", 1)
        if path.startswith(f"{lake}/"):
            for point in _of(operation, path.removeprefix(f"{lake}/")):
                found.setdefault(point.name, point)
    return list(found.values())


def _of(operation: str, path: str) -> Iterator[Point]:
    """The points at one operation of the trace."""
    exact = f"/{re.escape(path)}$"
    if operation == "rename" and (commit := _COMMIT.fullmatch(path)):
        table, version = commit[1].replace("/", "."), int(commit[2])
        what, where = f"commit {version} of {table}", f"/{re.escape(commit[1])}/_delta_log/"
        torn = Failpoint("write", "before", "torn", rf"{where}\.{commit[2]}\.json\..*\.tmp$")
        yield Point(f"while {what} is written", f"torn {table}", torn)
        yield Point(f"before {what}", f"before {table}", Failpoint("rename", "before", "kill", exact))
        yield Point(f"after {what}", f"after {table}", Failpoint("rename", "after", "kill", exact))
    elif operation == "rename" and (noted := _CHECKPOINT.fullmatch(path)):
        job, what, number = noted.groups()
        if what in _OF_SPARK:
            told = _OF_SPARK[what].format(number)
            yield Point(f"after {told}", f"{job} {what}", Failpoint("rename", "after", "kill", exact))
        elif number is None:
            yield Point(f"before {what} is noted", f"{job} {what}", Failpoint("rename", "before", "kill", exact))
    elif operation == "create" and (data := _DATA.fullmatch(path)) and "_delta_log" not in path:
        table, what = data[1].replace("/", "."), "file" if data[2] == "parquet" else "deletion vector"
        inside = Failpoint("close", "before", "kill", rf"/{re.escape(data[1])}/[^._][^/]*\.{data[2]}$")
        yield Point(f"while the first {what} of {table} is written", f"{what} {table}", inside)


def one_of_each(all_points: Sequence[Point], seed: int) -> list[Point]:
    """Of each sort of point one, in the order of the run."""
    chance = random.Random(seed)  # noqa: S311 -- no secret
    by_sort = groupby(sorted(all_points, key=lambda point: point.sort), key=lambda point: point.sort)
    chosen = {chance.choice(list(same)).name for _, same in by_sort}
    return [point for point in all_points if point.name in chosen]
