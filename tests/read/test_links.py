"""Links in a landing folder, and where files are moved: who delivers data chooses neither what is read nor what runs."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lakehouse.errors import ConfigError, FileLinkError
from lakehouse.lake.batch import BadFile
from lakehouse.read.files import FilesFeed
from lakehouse.read.folders import ready
from lakehouse.read.links import Links, names_charset
from lakehouse.runtime.workplace import prepare
from lakehouse.spec.places import Places

JOB = """\
sources:
  orders: {{kind: files, path: "${{param:landing}}/orders", {said}}}
write: {{table: bronze.orders, mode: append, evolve: add_columns}}
"""
HIDDEN = "nobody-may-read-this"


def wrong(workshop) -> dict[str, str]:
    """What is in quarantine, by the names of the files: the codes."""
    rows = workshop.frame("quarantine.bronze_orders").select("source.file", "reasons").collect()
    assert len({row.file for row in rows}) == len(rows)
    return {str(Path(row.file).relative_to(workshop.landing / "orders")): row.reasons[0] for row in rows}


def test_links_out_of_the_folder_loops_and_links_to_nothing_are_entries_and_the_other_files_load(workshop) -> None:
    outside = workshop.project.parent / "outside"
    data = workshop.project.parent / "data"
    for place in (outside, data):
        place.mkdir()
        (place / "s.csv").write_text(f"id\n{HIDDEN if place == outside else 'of_a_root'}\n")
    (workshop.project / "conf/env/local.yaml").write_text(
        f"lake: lake\nparams: {{landing: landing}}\nroots: ['{data}']\n"
    )
    (workshop.project / "jobs").mkdir()
    (workshop.project / "jobs/j.csv").write_text(f"id\n{HIDDEN}\n")
    workshop.job("x", JOB.format(said='format: csv, archive_to: "${param:landing}/done"'))
    orders = workshop.land("orders/a.csv", "id\n1\n").parent
    workshop.land("orders/deep/b.csv", "id\n2\n")
    workshop.land("orders/_hidden/c.csv", "id\n3\n")
    links = {
        "file.csv": outside / "s.csv",
        "folder": outside,
        "up.csv": "../../../../outside/s.csv",
        "code.csv": workshop.project / "jobs/j.csv",
        "ledger": workshop.folder,
        "root": "/",
        "twice.csv": "a.csv",
        "self.csv": "self.csv",
        "one.csv": "two.csv",
        "two.csv": "one.csv",
        "nothing.csv": "not_there.csv",
        "deep/loop": "..",
        "of_a_root.csv": data / "s.csv",
        "shown.csv": "_hidden/c.csv",
    }
    for name, target in links.items():
        (orders / name).symlink_to(target)
    result = workshop.run("x")
    assert result.error is None
    assert {row[0] for row in workshop.rows("bronze.orders", "id")} == {"1", "2", "3", "of_a_root"}
    assert len(workshop.rows("bronze.orders")) == 4
    link, broken = "FILE_LINK", "FILE_LINK_BROKEN"
    named = dict.fromkeys(
        ("file.csv", "folder", "up.csv", "code.csv", "twice.csv", "deep/loop", "ledger", "root"), link
    )
    named |= dict.fromkeys(("self.csv", "one.csv", "two.csv", "nothing.csv"), broken)
    assert wrong(workshop) == named
    # only what lies in the folder itself was moved, and nothing that a link leads to
    assert (outside / "s.csv").exists()
    assert (data / "s.csv").exists()
    done = workshop.landing / "done"
    assert sorted(str(path.relative_to(done)) for path in done.rglob("*.csv")) == ["a.csv", "deep/b.csv"]
    # each is told once
    workshop.land("orders/new.csv", "id\n4\n")
    before = len(wrong(workshop))
    assert workshop.run("x").rows.accepted == 1
    assert len(wrong(workshop)) == before
    text = "\n".join(path.read_text(errors="replace") for path in workshop.folder.rglob("*.json"))
    assert HIDDEN not in text


def test_a_loop_of_folders_does_not_end_the_look_for_markers(tmp_path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/up").symlink_to("../..")
    (tmp_path / "a/self").symlink_to("self")
    (tmp_path / "c").symlink_to("a")
    (tmp_path / "d").mkdir()
    assert ready(str(tmp_path), "_SUCCESS") == []
    (tmp_path / "a/b/_SUCCESS").touch()
    assert ready(str(tmp_path), "_SUCCESS") == [f"{tmp_path}/a/b"]
    never = {bad.file.removeprefix(f"{tmp_path}/"): bad.code for bad in Links(str(tmp_path), "*").never_followed()}
    assert never == {"a/b/up": "FILE_LINK", "a/self": "FILE_LINK_BROKEN", "c": "FILE_LINK"}


def test_a_name_that_java_cannot_read_is_an_entry(spark, tmp_path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).mkdir()
    for name in (b"a\xff.csv", b"plain.csv", "\u00e9.csv".encode(), b"\xff/in.csv", b"_\xff.csv"):
        (tmp_path / os.fsdecode(name)).write_text("id\n")
    links = Links(str(tmp_path), "*")
    assert names_charset(spark) == "utf-8"
    assert [bad.file.rpartition("/")[2] for bad in links.never_followed()] == ["a\\xff.csv", "\\xff"]
    # in the locale C it sees no other names than those in ASCII
    found = {bad.file.rpartition("/")[2]: bad.code for bad in links.never_followed(charset="ascii")}
    assert found == dict.fromkeys(("a\\xff.csv", "\\xff", "\u00e9.csv"), "FILE_NAME_ENCODING")


def test_spark_is_given_all_names_but_those_of_links_to_folders(spark, tmp_path) -> None:
    names = [
        "a",
        "ab",
        "abc",
        "abd",
        "abcd",
        "b",
        "-x",
        "x-y",
        "A",
        "deep/a",
        "deep/ab",
        "deep/a b",
        "deep/abc",
        "=",
        "@~",
    ]
    for name in names:
        (tmp_path / "in" / name / "more").mkdir(parents=True)
        (tmp_path / "in" / name / "more" / "f.csv").write_text("id\n")
    for name in ("_h/x.csv", ".h/x.csv", "ab_.csv", "z.csv", "deep/_h/y.csv"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text("id\n")
    closed = ["abe", "a-b", "c", "deep/aa", "deep/x y", "deep/a/more/up", "+=@", "b.d", "b_d", "l" * 255]
    for name in closed:
        (tmp_path / "in" / name).symlink_to("/")
    links = Links(f"{tmp_path}/in", "*.csv")
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", "*.csv")
    for folders, below in (([links.folder], ""), ([f"{links.folder}/deep", f"{links.folder}/x-y"], ("deep/", "x-y/"))):
        found = [row.path.split("/in/")[1] for row in reader.load(links.spark_paths(folders)).select("path").collect()]
        wanted = [*(f"{name}/more/f.csv" for name in names), "ab_.csv", "z.csv"]
        assert sorted(found) == sorted(name for name in wanted if name.startswith(below))
    (tmp_path / "in" / "a,b").symlink_to("/")
    with pytest.raises(FileLinkError, match="'a,b'"):
        links.spark_paths([links.folder])


MOVES = """\
job: x
about: a
params: {{p: "{param}"}}
sources: {{o: {{kind: files, path: "{path}", archive_to: "{to}"}}}}
write: {{table: bronze.x, mode: append}}
"""


@pytest.fixture
def project(tmp_path):
    """A project with folders of code, a landing zone, and a lake that holds tables."""
    root = tmp_path.resolve() / "project"
    for name in ("conf/env", "jobs", "contracts", "landing/o", "lake/bronze/x/_delta_log", "lake/other/t/_delta_log"):
        (root / name).mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "to_jobs").symlink_to("jobs")
    (root / "conf/env/local.yaml").write_text(f"lake: lake\nroots: ['{tmp_path}/data', 'file://{tmp_path}/uri']\n")
    (root / "conf/y.yaml").write_text(
        "job: y\nabout: a\nsources: {o: {kind: files, path: landing/y}}\nwrite: {table: silver.y, mode: append}\n"
    )
    return root


CLOSED = (
    *("jobs", "jobs/deep", "./jobs", "landing/../jobs", "JOBS", "Jobs/x", "conf", "conf/env", "contracts", "tests"),
    *("notebooks", "scripts", ".git/hooks", ".github/workflows", ".venv/lib", "venv", "src", ".", "", "..", "/"),
    *("{root}/jobs", "file:{root}/jobs", "file://{root}/jobs", "file:///{root}/jobs", "FILE:{root}/jobs"),
    *("file:{root}/landing/../jobs", "file://host{root}/done", "to_jobs", "to_jobs/x", "ｊobs", "jobs/", "jobs//."),
    *("lake", "lake/bronze", "lake/bronze/x", "lake/_checkpoints/x", "lake/ops", "lake/quarantine/q", "lake/silver/n"),
    *("lake/other", "lake/other/new", "LAKE/Bronze", "landing/y", "landing/y/deep", "landing/o/deep", "landing"),
    *("{tmp}/elsewhere", "{tmp}", "${{param:p}}", "s3://bucket/x", "j*bs", "jo\\\\bs", "a\\0b"),
)


@pytest.mark.parametrize("to", CLOSED)
def test_files_are_moved_to_no_folder_of_code_configuration_or_tables(project, to) -> None:
    to = to.format(root=project, tmp=project.parent)
    (project / "conf/x.yaml").write_text(MOVES.format(path="landing/o", to=to, param="jobs"))
    with pytest.raises(ConfigError) as caught:
        prepare("x", root=project)
    assert "archive_to" in str(caught.value)


@pytest.mark.parametrize("path", ["jobs", "conf", ".", "lake/bronze/x", "lake", "to_jobs", "{tmp}", "/"])
def test_files_are_moved_out_of_no_folder_of_code_configuration_or_tables(project, path) -> None:
    text = MOVES.format(path=path.format(tmp=project.parent), to="done", param="a")
    (project / "conf/x.yaml").write_text(text)
    with pytest.raises(ConfigError):
        prepare("x", root=project)


@pytest.mark.parametrize(
    "to",
    ["done", "landing/done", "landing/o/_done", "landing/o/.done", "data/done", "{tmp}/data/x", "lake/landing/done"],
)
def test_files_are_moved_to_a_folder_of_data(project, to) -> None:
    to = to.format(tmp=project.parent)
    (project / "conf/x.yaml").write_text(MOVES.format(path="landing/o", to=to, param="a"))
    assert prepare("x", root=project).folders["o.archive_to"].endswith(to)


@pytest.mark.parametrize("lake", [".", "..", "jobs", "conf/lake", "to_jobs", "JOBS/x", "/", "file:{root}/jobs"])
def test_a_lake_lies_among_no_code(project, lake) -> None:
    (project / "conf/env/local.yaml").write_text(f"lake: {lake.format(root=project)}\n")
    with pytest.raises(ConfigError, match="lake: "):
        prepare("y", root=project)


@pytest.mark.parametrize("path", [".git", ".git/x", ".venv/lib", ".env"])
def test_hidden_folders_of_the_project_are_no_source(project, path) -> None:
    (project / "conf/x.yaml").write_text(
        MOVES.format(path=path, to="done", param="a").replace(', archive_to: "done"', "")
    )
    with pytest.raises(ConfigError, match="tool's folder"):
        prepare("x", root=project)
    (project / "conf/env/local.yaml").write_text(f"lake: lake\nroots: ['{path}']\n")
    assert prepare("x", root=project).folders["o"].endswith(path)


def test_a_root_around_the_project_opens_neither_its_code_nor_its_lake_to_links(tmp_path) -> None:
    places = Places(str(tmp_path / "project"), str(tmp_path / "project/lake"), (str(tmp_path),))
    assert places.may_be_linked(str(tmp_path / "data/x.csv"))
    for name in ("project/jobs/x.py", "project/lake/bronze", "project/x", "project"):
        assert not places.may_be_linked(str(tmp_path / name))
    assert not Places(str(tmp_path / "project"), "s3://b/lake", ()).may_be_linked(str(tmp_path / "data"))


def test_a_link_that_is_gone_before_it_is_noted_is_no_error(tmp_path) -> None:
    (tmp_path / "there").symlink_to("nowhere")
    bad = [BadFile(str(tmp_path / name), "FILE_LINK", "") for name in ("gone", "there")]
    feed: Any = SimpleNamespace(_links=SimpleNamespace(never_followed=lambda **_: bad))
    noted: dict[str, int] = {}
    checkpoint: Any = SimpleNamespace(
        grown=lambda _: {}, files=lambda _: {}, has_grown=lambda _, names: noted.update(names)
    )
    assert FilesFeed._not_followed(feed, None, 0, checkpoint) == bad[1:]  # type: ignore[arg-type]
    assert list(noted) == [f"{bad[1].file} -> nowhere"]
