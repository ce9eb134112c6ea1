"""The log of a table in a folder, read as it lies there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

from lakehouse.lake.table import Table, commits, exists, head

NO_SPARK = cast("Any", None)


def commit(folder: Path, *versions: int) -> None:
    log = folder / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    for version in versions:
        info = {"commitInfo": {"operation": f"WRITE {version}", "timestamp": 0}}
        (log / f"{version:020d}.json").write_text(json.dumps(info) + "\n")


def newest(table: Table) -> int:
    found = head(NO_SPARK, table)
    return -1 if found is None else found.version


def test_the_newest_commit_is_found_also_of_a_table_that_is_made_anew(tmp_path):
    folder = tmp_path / "t"
    table = Table("bronze.t", str(folder))
    assert (newest(table), exists(NO_SPARK, table)) == (-1, False)
    commit(folder, *range(5))
    assert newest(table) == 4
    commit(folder, 5, 6)
    assert [one.version for one in commits(NO_SPARK, table, 3)] == [6, 5, 4]
    shutil.rmtree(folder)
    assert newest(table) == -1
    commit(folder, 0, 1)
    assert newest(table) == 1
    shutil.rmtree(folder)
    commit(folder, *range(9))
    assert [one.operation for one in commits(NO_SPARK, table, 100)] == [f"WRITE {at}" for at in range(8, -1, -1)]


def test_a_log_is_read_back_to_where_it_was_cleaned(tmp_path):
    table = Table("bronze.t", str(tmp_path))
    commit(tmp_path, *range(10, 15))
    assert [one.version for one in commits(NO_SPARK, table, 100)] == [14, 13, 12, 11, 10]
    (tmp_path / "_delta_log" / f"{10:020d}.json").unlink()
    assert [one.version for one in commits(NO_SPARK, table, 100)] == [14, 13, 12, 11]
