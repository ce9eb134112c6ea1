"""Tables as folders: copies by hard links, and what their logs say. No Spark."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LINKED = {".parquet", ".bin"}
"""The endings of what is never written again: data files and deletion vectors."""


@dataclass(frozen=True)
class Footprint:
    """What commits did to a table: files and bytes that were not there before, and files that are there no more."""

    commits: int
    files_added: int
    bytes_added: int
    files_removed: int
    vectors: int


def copy(source: Path, target: Path) -> None:
    """A copy of a table, or of a lake of tables: hard links of the data, real copies of the logs and all else."""
    for folder, _, names in os.walk(source):
        here = Path(folder)
        there = target / here.relative_to(source)
        there.mkdir(parents=True)
        logs = "_delta_log" in here.parts
        for name in names:
            if not logs and Path(name).suffix in LINKED:
                os.link(here / name, there / name)
            else:
                shutil.copy2(here / name, there / name)


def newest(table: Path) -> int:
    """The newest version of a table."""
    return max(int(path.stem) for path in (table / "_delta_log").glob("*.json") if path.stem.isdigit())


def actions(table: Path, version: int) -> list[dict[str, Any]]:
    """What one commit says."""
    text = (table / "_delta_log" / f"{version:020d}.json").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line]


def footprint(table: Path, since: int) -> Footprint:
    """What the commits after a version did."""
    last = newest(table)
    every = [action for version in range(since + 1, last + 1) for action in actions(table, version)]
    adds = [action["add"] for action in every if "add" in action]
    removes = {action["remove"]["path"] for action in every if "remove" in action}
    vectors = {add["path"] for add in adds if add.get("deletionVector")}
    # a file that is added with a vector was there before, unless one of these commits made it
    made = {add["path"]: add["size"] for add in adds if not (add.get("deletionVector") and add["path"] in removes)}
    gone = removes - vectors - made.keys()
    return Footprint(last - since, len(made), sum(made.values()), len(gone), len(vectors))


def adopt(empty: Path, data: Path, target: Path) -> None:
    """A table with the properties of an empty one and the data files of another: as if it had been written so.

    What a library makes of a table (its properties, its features) it says when it makes one; the rows shall lie in the
    same files for all.
    """
    copy(empty, target)
    adds = []
    for version in range(newest(data) + 1):
        adds += [action for action in actions(data, version) if "add" in action]
    for add in adds:
        os.link(data / add["add"]["path"], target / add["add"]["path"])
    told = {"timestamp": 1_700_000_000_000, "operation": "WRITE", "operationParameters": {"mode": "Append"}}
    lines = [{"commitInfo": told}, *adds]
    version = newest(target) + 1
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (target / "_delta_log" / f"{version:020d}.json").write_text(text, encoding="utf-8")
