"""Where a job can be killed, told from what a clean run did; and the file system that fails there. No Spark."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from lakehouse.certify import failing
from lakehouse.certify.failing import Failpoint, environment
from lakehouse.certify.fingerprint import Fingerprint
from lakehouse.certify.points import one_of_each, points

LOG = "silver/t/_delta_log"
TRACE = f"""\
rename /lake/_checkpoints/x/owner.json
create /lake/_checkpoints/x/offsets/.0.81f.tmp
rename /lake/_checkpoints/x/offsets/0
rename /lake/_checkpoints/x/offsets/.0.crc
create /lake/silver/t/part-00000-1f.snappy.parquet
create /lake/silver/t/.part-00000-1f.snappy.parquet.crc
create /lake/{LOG}/.00000000000000000000.json.5c.tmp
rename /lake/{LOG}/00000000000000000000.json
rename /lake/{LOG}/00000000000000000000.crc
rename /lake/_checkpoints/x/commits/0
rename /lake/{LOG}/00000000000000000001.json
rename /elsewhere/_checkpoints/x/commits/1
"""


def test_every_commit_and_every_note_of_a_run_is_a_place_to_be_killed_at():
    assert [point.name for point in points(TRACE.splitlines(), "/lake")] == [
        "before owner.json is noted",
        "after batch 0 is begun",
        "while the first file of silver.t is written",
        *(f"{when} commit 0 of silver.t{rest}" for when, rest in (("while", " is written"), ("before", ""), ("after", ""))),
        "after batch 0 is ended",
        *(f"{when} commit 1 of silver.t{rest}" for when, rest in (("while", " is written"), ("before", ""), ("after", ""))),
    ]  # fmt: skip


def test_a_place_is_found_again_in_another_lake_and_is_no_other_place():
    at = {point.name: point.failpoint for point in points(TRACE.splitlines(), "/lake")}
    assert re.search(at["after commit 1 of silver.t"].pattern, f"/run/9/{LOG}/00000000000000000001.json")
    assert not re.search(at["after commit 1 of silver.t"].pattern, f"/run/9/{LOG}/00000000000000000010.json")
    assert re.search(
        at["while commit 1 of silver.t is written"].pattern, f"/run/9/{LOG}/.00000000000000000001.json.77.tmp"
    )
    data = at["while the first file of silver.t is written"].pattern
    assert re.search(data, "/run/9/silver/t/part-3.parquet")
    assert not re.search(data, "/run/9/silver/t/.part-3.parquet.crc")
    assert not re.search(data, "/run/9/silver/t/_delta_log/1.checkpoint.parquet")


def test_one_of_each_sort_is_chosen_by_the_seed():
    found = points(TRACE.splitlines(), "/lake")
    chosen = one_of_each(found, 5)
    assert chosen == one_of_each(found, 5)
    assert len(chosen) == len({point.sort for point in found}) == 7
    assert {tuple(one_of_each(found, seed)) for seed in range(20)} != {tuple(chosen)}


def test_two_lakes_differ_in_rows_in_columns_or_in_which_values_stand_together():
    one = Fingerprint(2, {"k": 7, "v": 9}, 3)
    assert one.differs_in(one) == []
    assert one.differs_in(None) == ["the table itself"]
    assert one.differs_in(Fingerprint(3, {"k": 8, "v": 9}, 4)) == ["2 rows, not 3", "k"]
    assert one.differs_in(Fingerprint(2, {"k": 7, "v": 9}, 4)) == ["which values stand together in a row"]


@pytest.mark.parametrize("kit", ["javac", "eclipse"])
def test_the_failing_file_system_is_compiled_with_and_without_a_development_kit(kit, monkeypatch, tmp_path):
    if kit == "eclipse":
        monkeypatch.setattr(failing.shutil, "which", lambda _: None)
        monkeypatch.setattr(failing, "_kit", lambda: None)
    elif not failing.shutil.which("javac"):
        pytest.skip(reason="needs a javac: there is a Java without a development kit")
    home = failing.jars.home()
    monkeypatch.setattr(failing.jars, "home", lambda: tmp_path)
    (tmp_path / "java").symlink_to(home / "java")
    # what was fetched once is not fetched again
    (tmp_path / "failing").mkdir()
    for jar in (home / "failing").glob("ecj-*.jar"):
        (tmp_path / "failing" / jar.name).hardlink_to(jar)
    folder = failing.classes()
    assert (folder / "lakehouse/certify/CrashFileSystem.class").is_file()
    assert (folder / "core-site.xml").is_file()
    for jar in (tmp_path / "failing").glob("ecj-*.jar"):
        kept = home / "failing" / jar.name
        kept.parent.mkdir(exist_ok=True)
        if not kept.exists():
            kept.hardlink_to(jar)


CHILD = """\
import pathlib, sys
from lakehouse.certify.failing import fail_in_python
fail_in_python()
for name in ("first", "second", "third"):
    beside = pathlib.Path(sys.argv[1], f".{name}")
    beside.write_text(name)
    beside.replace(pathlib.Path(sys.argv[1], name))
"""


def test_a_process_ends_where_python_is_about_to_rename_a_file(tmp_path):
    point = Failpoint("rename", "before", "kill", "/(second|third)$", "2")
    known = environment(tmp_path, [point], trace=tmp_path / "trace")
    done = subprocess.run([sys.executable, "-c", CHILD, tmp_path], env=known, start_new_session=True, check=False)
    assert done.returncode == -9
    assert {path.name for path in tmp_path.iterdir()} == {"failpoints", "trace", "first", "second", ".third"}
    assert (tmp_path / "trace").read_text().split() == [
        word for name in ("first", "second", "third") for word in ("rename", str(tmp_path / name))
    ]
