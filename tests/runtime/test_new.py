"""A new source becomes a table: what `lakehouse new` writes is good, runs, and its test is green."""

from __future__ import annotations

import ast
import json
import runpy
import sys
from pathlib import Path

import pytest

from lakehouse import cli
from lakehouse.cli.new import _wanted
from lakehouse.errors import ConfigError, InvalidConfigError
from lakehouse.runtime.sample import Sample, Seen
from lakehouse.runtime.scaffold import Wanted, files, written
from lakehouse.spec.env import Env
from lakehouse.spec.files import FilesSource
from lakehouse.spec.project import Project
from lakehouse.testing import LocalLake

ORDERS = "order id;email;amount;updated_at\n" + "".join(
    f"{number};p{number}@example.com;{number}.25;2026-01-{number:02}\n" for number in range(1, 29)
)


@pytest.fixture
def lakehouse(monkeypatch, capsys, tmp_path):
    """The command, as a shell would call it in an empty folder: its exit code, and what it printed."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.delenv("LAKEHOUSE_ENV", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lakehouse", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return call


def run_its_test(spark, project, job):
    module = runpy.run_path(str(project / f"tests/jobs/test_{job}.py"))
    (test,) = [value for name, value in module.items() if name.startswith("test_")]
    test(LocalLake(spark, project / f"lake of {job}", project))


def test_in_an_empty_folder_a_new_source_becomes_a_table(spark, tmp_path, lakehouse):
    project = tmp_path / "home"
    (tmp_path / "landing/orders").mkdir(parents=True)
    (tmp_path / "landing/orders/1.csv").write_text(ORDERS)
    asked = ("silver_orders", "--from", "../landing/orders", "--mode", "scd1", "--table", "silver.orders")
    asked += ("--keys", "order id", "--sequence-by", "updated_at", "--about", 'One "row" per order.')
    code, out, err = lakehouse("new", *asked, "--dry-run")
    assert "warning" not in err
    assert (code, "--- conf/silver_orders.yaml\njob: silver_orders\n" in out, list(project.iterdir())) == (0, True, [])

    code, out, _ = lakehouse("new", *asked, "--json")
    answer = json.loads(out.splitlines()[-1])
    made = sorted(path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file())
    assert (code, answer["files"]) == (0, made)
    assert made == [
        "conf/env/local.yaml",
        "conf/silver_orders.yaml",
        "contracts/orders.yaml",
        "jobs/silver_orders.py",
        "pytest.ini",
        "tests/jobs/test_silver_orders.py",
    ]
    # no value of what may be personal is in any of them
    assert not any("example.com" in (project / name).read_text() for name in made)
    assert lakehouse("check")[:2] == (0, "ok  silver_orders\nok  env/local\n")
    code, out, err = lakehouse("run", "silver_orders", "--json")
    assert code == 0, err
    result = json.loads(out.splitlines()[-1])
    assert (result["rows"]["read"], result["rows"]["inserted"]) == (28, 28)
    run_its_test(spark, project, "silver_orders")

    # keys that do not tell its own rows apart: the third row is the second one again
    (tmp_path / "landing/lines").mkdir()
    (tmp_path / "landing/lines/1.csv").write_text("invoice,line,day\n1,1,2026-01-01\n1,2,2026-01-01\n1,2,2026-01-01\n")
    asked_of = ("lines", "--from", "../landing/lines", "--mode", "scd1", "--table", "silver.lines", "--dry-run")
    for keys, is_told in (("invoice", True), ("invoice,line", False)):
        code, _, err = lakehouse("new", *asked_of, "--keys", keys, "--sequence-by", "day")
        assert (code, "1 keys (invoice) have rows in the sample that differ and have the same day" in err) == (
            0,
            is_told,
        )

    # nothing is written over
    code, _, err = lakehouse("new", *asked)
    assert (code, "conf/silver_orders.yaml" in err, "nothing is written over" in err) == (2, True, True)
    # a table of the lake is a source as well: as it is where a job of the project changes its rows, else as a stream
    asked = ("gold_states", "--from", "silver.orders", "--name", "states", "--table", "gold.states", "--mode")
    code, _, err = lakehouse("new", *asked, "append")
    assert (code, "silver.orders is written by conf/silver_orders.yaml:" in err, "--mode scd1" in err) == (
        2,
        True,
        True,
    )
    assert lakehouse("new", *asked, "scd1", "--keys", "order id", "--sequence-by", "updated_at")[0] == 0
    assert lakehouse("check")[:2] == (0, "ok  gold_states\nok  silver_orders\nok  env/local\n")
    run_its_test(spark, project, "gold_states")
    code, out, err = lakehouse("run", "gold_states", "--json")
    assert (code, json.loads(out.splitlines()[-1])["rows"]["inserted"]) == (0, 28), err
    (project / "conf/silver_orders.yaml").unlink()
    asked = ("gold_orders", "--from", "silver.orders", "--name", "clean", "--table", "gold.orders", "--mode", "append")
    assert lakehouse("new", *asked)[0] == 0
    run_its_test(spark, project, "gold_orders")


SEEN = (Seen("id", "bigint", 9, is_unique=True), Seen("at", "timestamp", 9), Seen("tags", "array<string>", 9))


def sample(folder, **more):
    return Sample(
        str(folder), "9 rows", 9, 0, SEEN, FilesSource(kind="files", path=str(folder), **more), f"{folder}/1.csv"
    )


def test_a_folder_is_found_by_the_landing_zone_of_the_environment(tmp_path):
    wanted, source = Wanted("a", "orders", "b.a"), sample(tmp_path / "zone/orders")
    env = Env(lake="lake", params={"landing": "zone"})
    made = files(wanted, source, tmp_path, env)
    assert 'path: "${param:landing}/orders"' in made["conf/a.yaml"]
    assert "params:" not in made["conf/a.yaml"]
    assert "conf/env/local.yaml" not in made
    assert 'lake.land("orders/sample.csv", ROWS)' in made["tests/jobs/test_a.py"]
    # a landing zone elsewhere is not this folder's
    made = files(wanted, source, tmp_path, Env(lake="lake", params={"landing": "elsewhere"}))
    assert "params: {folder: zone/orders}" in made["conf/a.yaml"]
    assert 'lake.run("a", params={"folder": str(lake.landing)})' in made["tests/jobs/test_a.py"]
    with pytest.raises(ConfigError, match="lies outside"):
        files(wanted, sample("/elsewhere/orders"), tmp_path, env)
    assert files(wanted, sample("/elsewhere/orders"), tmp_path, Env(lake="lake", roots=("/elsewhere",)))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted("a", "orders", "b.a", "scd1"), "scd1 needs --keys"),
        (Wanted("a", "orders", "b.a", "scd1", ("id",)), "scd1 needs --sequence-by"),
        (Wanted("a", "orders", "b.a", "scd2", ("ids",), ("at",)), "no such column; did you mean 'id'"),
        (Wanted("a", "orders", "b"), "--table: 'b' is not schema.table"),
        (Wanted("A", "orders", "b.a"), "the job: 'A' is not a name"),
    ],
)
def test_what_would_be_no_job_is_refused_before_anything_is_written(tmp_path, wanted, told):
    with pytest.raises((ConfigError, InvalidConfigError), match=told):
        files(wanted, sample(tmp_path / "orders"), tmp_path, None)
    assert list(tmp_path.iterdir()) == []


def test_files_are_written_all_or_none(tmp_path):
    (tmp_path / "b").write_text("mine")
    with pytest.raises(ConfigError, match="b: there already"):
        written({"a": "1", "b": "2"}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("kind", ["parquet", "json", "csv"])
def test_of_every_kind_of_file_the_job_is_good_python_and_yaml(tmp_path, kind):
    for path, text in files(
        Wanted("a", "orders", "b.a"), sample(tmp_path / "orders", format=kind), tmp_path, None
    ).items():
        if path.endswith(".py"):
            compile(text, path, "exec")
    made = files(Wanted("a", "orders", "b.a"), sample(tmp_path / "orders"), tmp_path, None)
    written(made, tmp_path)
    assert Project(tmp_path).job("a").write.identity == "source"


def test_what_was_seen_is_offered(monkeypatch, capsys, tmp_path):
    seen = (Seen("changed_at", "timestamp", 9), Seen("at", "date", 9), Seen("order_id", "bigint", 9, is_unique=True))
    found = Sample(str(tmp_path), "9 rows", 9, 0, seen)
    answers = iter(["", "", "", ""])
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda *_: next(answers))
    nothing = dict.fromkeys(("table", "mode", "keys", "sequence_by", "about", "owner"))
    wanted = _wanted("silver_orders", "orders", found, **nothing)
    assert wanted == Wanted("silver_orders", "orders", "silver.orders", "scd1", ("order_id",), ("changed_at",))
    # an append is asked for neither
    wanted = _wanted("silver_orders", "orders", found, **{**nothing, "table": "a.b", "mode": "append"})
    assert (wanted.table, wanted.keys, wanted.sequence_by) == ("a.b", (), ())
    assert capsys.readouterr().out == ""


def test_what_is_not_said_is_asked_for(lakehouse, monkeypatch):
    """And where nobody answers, it is told how to say it."""
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda *_: (_ for _ in ()).throw(EOFError))
    code, _, err = lakehouse("new")
    assert (code, "What is read" in err, "lakehouse new --help" in err) == (2, True, True)


_HOSTILE = (
    *('a.x");print("PWN");("', 'x"""\nprint("PWN")\n"""', "x'+print('PWN')+'", "x\\", "x\n  evil: 1", "x\r\nprint()"),
    *("x: y", "# x", "- x", "&a", "*a", "!!python/object/apply:os.system", "%x", "@x", "`x`", "{{x}}", "x\t", " x "),
    *(
        "x\x00y",
        "x\x7fy",
        "x\x85y",
        "x\u2028y",
        "\ufeffx",
        "\u202ex",
        "x\udcff",
        "\U000e0001",
        "😀",
        "ünï",
        "null",
        "yes",
    ),
    *("1", "1e5", "0x1", "~", "${env:HOME}", "${param:x}", "${spark.sql.x}", "%s{}", "--", "'; DROP TABLE x; --"),
    *("x" * 250, "../../x", "a/b", "class", "_source", "__x", "<<", "=", "...", "---", "|", ">", "?"),
)


def _calls(text: str) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}


_CALLED = {"lake.land", "lake.run", "lake.rows", "len", "str", "lakehouse.submit", "lake.spark.sql", "rows.drop"}
_CALLED |= {"lake.spark.sql(ROWS).write.parquet", "orders.drop"}


@pytest.mark.parametrize("name", _HOSTILE)
def test_names_of_files_folders_and_columns_are_text_of_the_files_that_are_made(tmp_path, name):
    made_some = 0
    for where in range(4):
        kind = ("csv", "json", "parquet")[(_HOSTILE.index(name) + where) % 3]
        folder = f"/data/{name}" if where == 0 else "/data/orders"
        file = f"{folder}/a.{name}" if where == 1 else f"{folder}/a.{kind}"
        one = Seen(name[:250] if where == 2 else "id", "string", 9)
        source = (
            FilesSource(kind="files", path=folder, format=kind)
            if "${" not in folder and "\udcff" not in folder
            else None
        )
        if source is None:
            continue
        found = Sample(file if where == 1 else folder, "9 rows", 9, 0, (one,), source, file)
        said = name if where == 3 else ""
        try:
            made = files(Wanted("a", "orders", "b.a", about=said, owner=said), found, tmp_path / "project", None)
        except ConfigError:
            continue
        made_some += 1
        root = tmp_path / f"made{where}"
        written(made, root)
        project = Project(root)
        job = project.job("a")
        assert project.env().lake == ".lake"
        assert job.owner == said
        if where == 2:
            assert list(job.sources["orders"].contract.columns) == [name]
        if where == 0:
            assert job.params["landing"] == str(Path(folder).parent)
        for path, text in made.items():
            if path.endswith(".py"):
                assert _calls(text) <= _CALLED
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("made")] == []
    assert made_some or "\udcff" in name


@pytest.mark.parametrize(
    "name", ["../../x", "x/y", "x\n", "X", "1x", "class", "import", "x;y", 'x")', "", "x\0", "x" * 300]
)
@pytest.mark.parametrize("what", ["job", "source", "table"])
def test_a_name_that_is_none_is_refused_before_any_file_is_named_after_it(tmp_path, name, what):
    said = {"job": "a", "source": "orders", "table": "b.a", what: name}
    with pytest.raises(ConfigError, match="the job|--name|--table"):
        files(Wanted(**said), sample(tmp_path / "orders"), tmp_path, None)
    assert list(tmp_path.iterdir()) == []
