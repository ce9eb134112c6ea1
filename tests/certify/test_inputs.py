"""What a trial reads of a folder: the newest files, and what must be beside them for a job to read them. No Spark."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lakehouse.certify.inputs import inputs
from lakehouse.runtime.workplace import prepare

JOB = """\
job: x
about: a
sources:
  orders: {{kind: files, path: landing, pattern: "*.csv", archive_to: done, {said}}}
write: {{table: bronze.orders, mode: append}}
"""


@pytest.mark.parametrize(
    ("said", "copied"),
    [
        ("control: .ctl", ["a/2.csv", "a/2.ctl"]),
        ("ready_by: _SUCCESS", ["_SUCCESS", "a/2.csv", "b/_SUCCESS"]),
        ("max_files: 7", ["a/2.csv"]),
    ],
)
def test_the_newest_files_come_with_what_says_that_they_are_whole(tmp_path: Path, said: str, copied: list[str]) -> None:
    root = tmp_path / "project"
    (root / "conf/env").mkdir(parents=True)
    (root / "conf/env/local.yaml").write_text("lake: lake\n")
    (root / "conf/x.yaml").write_text(JOB.format(said=said))
    for at, name in enumerate(("b/1.csv", "b/1.csv.ctl", "b/_SUCCESS", "_SUCCESS", "a/2.ctl", "a/2.csv")):
        path = root / "landing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (at, at))
    found = inputs(prepare("x", root=root), tmp_path / "scratch", given=None, size=1)
    place = Path(found.folders["orders"])
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()) == copied
    assert found.sources["orders"] == {"archive_to": None, "max_files": 1, "max_bytes": None}


def test_what_is_hidden_is_left_and_tables_that_rules_look_into_come_along(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "conf/env").mkdir(parents=True)
    (root / "conf/env/local.yaml").write_text("lake: lake\n")
    contract = "contract: {columns: {id: bigint}, rules: [{name: known, check: 'exists_in(id, silver.ids.id)'}]}"
    (root / "conf/x.yaml").write_text(
        JOB.format(said=contract).replace("archive_to: done", "archive_to: landing/_done")
    )
    for name in ("1.csv", "_done/2.csv", "a/.b/3.csv"):
        path = root / "landing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "lake/silver/ids/_delta_log").mkdir(parents=True)
    found = inputs(prepare("x", root=root), tmp_path / "scratch", given=None, size=9)
    assert [path.name for path in (tmp_path / "scratch").rglob("*.csv")] == ["1.csv"]
    assert found.tables == {"silver.ids": root / "lake/silver/ids"}
