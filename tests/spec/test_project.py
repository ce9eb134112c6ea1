"""A project on disk: which jobs there are, and whether their code fits them; nothing of it is run."""

from __future__ import annotations

import pytest

from lakehouse.errors import ConfigError, InvalidConfigError, JobNotFoundError, TransformMismatchError
from lakehouse.spec.project import Project, read_any

ONE = """\
job: x
about: a
sources:
  orders: {kind: table, table: bronze.orders, stream: true}
write: {table: silver.orders, mode: append}
"""
TWO = ONE.replace("write:", "  customers: {kind: table, table: bronze.customers}\nwrite:")


def check(folder, conf, code):
    folder.write("jobs/x.py", code)
    return folder.job(conf)


@pytest.mark.parametrize(
    "code",
    [
        "def transform(orders, customers): ...",
        "def transform(customers, orders): ...",
        "def transform(*, orders, customers): ...",
        "def transform(orders: DataFrame, customers: DataFrame) -> DataFrame: ...",
        "def transform(orders, customers, today=None, *, limit=3): ...",
        "def transform(orders, **others): ...",
        "def transform(**sources): ...",
        "raise SystemExit(3)\ndef transform(orders, customers): ...",
        "import not_there_at_all\n@decorated\ndef transform(orders, customers): ...",
        "def transform(wrong): ...\ndef transform(orders, customers): ...",
        "from somewhere import transform",
        "from somewhere import other as transform",
        "transform = functools.partial(other, 1)",
        "try:\n    from fast import transform\nexcept ImportError:\n    def transform(orders, customers): ...",
        "# -*- coding: latin-1 -*-\ndef transform(orders, customers): ...",
    ],
)
def test_code_that_takes_the_sources_by_name_passes_unrun(folder, code):
    assert check(folder, TWO, code).job == "x"


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("def transform(orders): ...", "def transform(orders, customers)"),
        ("def transform(): ...", "def transform(orders, customers)"),
        ("def transform(orders, customer): ...", "'customer'; did you mean 'customers'?"),
        ("def transform(orders, customers, products): ...", "'products'"),
        ("def transform(orders, customers, *, limit): ...", "'limit'"),
        ("def transform(orders, customers, /): ...", "def transform(orders, customers)"),
        ("def transform(*frames): ...", "'frames'"),
        ("def transfrom(orders, customers): ...", "needs no Python file"),
        ("def other():\n    transform = 1", "needs no Python file"),
        ("lakehouse.submit(transform)", "needs no Python file"),
        ("", "needs no Python file"),
    ],
)
def test_code_that_does_not_take_the_sources_is_an_error_with_what_it_should_say(folder, code, hint):
    with pytest.raises(TransformMismatchError) as caught:
        check(folder, TWO, code)
    assert caught.value.message.startswith("jobs/x.py: ")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def transform(orders:\n", "jobs/x.py:1:14: not Python: '(' was never closed"),
        ("x = 1\nasync def transform(orders): ...", "jobs/x.py:2:1: transform() is called, not awaited"),
        ("x = 1\nreturn 5", "jobs/x.py:2:1: not Python: 'return' outside function"),
        (b"x = '\xff'", "jobs/x.py:1:1: not Python"),
        ("# coding: nonsense", "jobs/x.py:1:1: not Python"),
        ("# coding: rot13", "jobs/x.py:1:1: not Python: 'rot13' is not a text encoding"),
        ("# coding: hex", "jobs/x.py:1:1: not Python: 'hex' is not a text encoding"),
        ("x = " + "-" * 100_000 + "1", "jobs/x.py:1:1: not Python: nested too deep"),
        ("x = '\0'", "jobs/x.py:1:"),
        ("(" * 20_000, "jobs/x.py:1:"),
    ],
)
def test_code_that_is_not_python_is_told_with_its_line(folder, code, told):
    with pytest.raises(InvalidConfigError) as caught:
        check(folder, ONE, code)
    assert str(caught.value).startswith(told)


def test_one_source_needs_no_code(folder):
    assert folder.job(ONE).job == "x"


def test_several_sources_need_code_that_brings_them_together(folder):
    with pytest.raises(TransformMismatchError, match=r"conf/x.yaml: 2 sources \(orders, customers\)") as caught:
        folder.job(TWO)
    assert caught.value.hint == "write jobs/x.py with def transform(orders, customers), or jobs/x.sql"


def test_a_job_is_named_as_its_file(folder):
    [problem] = folder.problems(ONE.replace("job: x", "job: y"))
    assert problem == "conf/x.yaml:1:6: job: 'y' in a file named x.yaml: the two must be the same"


def test_an_unknown_job_brings_the_nearest_one(folder):
    folder.write("conf/silver_orders.yaml", ONE)
    with pytest.raises(JobNotFoundError, match=r"no job 'silver_order' .*; did you mean 'silver_orders'") as caught:
        Project(folder.root).job("silver_order")
    assert caught.value.hint == "a job is a file conf/NAME.yaml"


@pytest.mark.parametrize("name", ["../outside", "env/local", "a" * 5000, "", "X"])
def test_a_job_name_cannot_lead_out_of_conf(folder, name):
    folder.write("conf/env/local.yaml", ONE)
    folder.write("outside.yaml", ONE)
    folder.write("conf/x.yaml", ONE)
    with pytest.raises(JobNotFoundError):
        Project(folder.root).job(name)


def test_the_project_is_the_nearest_folder_upwards_that_holds_conf(folder):
    deep = folder.root / "src" / "deep"
    deep.mkdir(parents=True)
    assert Project.around(deep).root == folder.root.resolve()
    assert Project.around(folder.root / "conf" / "x.yaml").root == folder.root.resolve()


def test_no_project_is_told_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="no folder upwards of it holds conf/") as caught:
        Project.around(tmp_path)
    assert caught.value.hint


def test_the_jobs_are_the_yaml_files_of_conf_sorted(folder):
    for name in ("conf/b.yaml", "conf/a.yaml", "conf/c.yml", "conf/env/local.yaml", "conf/schema.json"):
        folder.write(name, "")
    (folder.root / "conf/folder.yaml").mkdir()
    assert Project(folder.root).jobs == ["a", "b"]


def test_a_job_is_found_by_name_by_yaml_and_by_python_file(folder, monkeypatch):
    conf, code = folder.write("conf/x.yaml", ONE), folder.write("jobs/x.py", "def transform(orders): ...")
    monkeypatch.chdir(folder.root)
    expected = (Project(folder.root), "x")
    assert [read_any(text) for text in ("x", "conf/x.yaml", str(conf), "jobs/x.py", str(code))] == [expected] * 5


def test_a_file_that_is_not_there_is_told(folder, monkeypatch):
    monkeypatch.chdir(folder.root)
    with pytest.raises(JobNotFoundError, match=r"no such file: conf/y.yaml"):
        read_any("conf/y.yaml")


def test_a_yaml_elsewhere_is_not_taken_for_the_job_of_its_name(folder, monkeypatch):
    folder.write("conf/x.yaml", ONE)
    folder.write("contracts/x.yaml", "columns: {}")
    monkeypatch.chdir(folder.root)
    with pytest.raises(JobNotFoundError, match=r"contracts/x.yaml is not a job"):
        read_any("contracts/x.yaml")


CHANGES = {
    "overwrite": "mode: overwrite",
    "scd1": "mode: scd1, keys: id, sequence_by: at",
    "scd2": "mode: scd2, keys: id, sequence_by: at",
    "snapshot": "mode: snapshot, snapshot_as: scd1, keys: id, snapshot_by: day",
}


def test_a_table_that_a_job_changes_is_not_read_as_a_stream(folder):
    folder.write(
        "conf/bronze.yaml", "job: bronze\nabout: a\nsources: {}\nwrite: {table: bronze.orders, mode: append}\n"
    )
    folder.write("conf/broken.yaml", "write: {table: bronze.orders, mode: scd1\n")
    assert folder.job(ONE).job == "x"  # appends alone; what is no YAML is told where it is checked
    for mode, words in CHANGES.items():
        folder.write(
            "conf/bronze.yaml",
            f"job: bronze\nabout: a\nsources: {{}}\nwrite:\n  table: bronze.orders\n  {words.replace(', ', chr(10) + '  ')}\n",
        )
        with pytest.raises(InvalidConfigError) as caught:
            folder.job(ONE)
        (problem,) = caught.value.problems
        assert (problem.line, problem.field) == (4, "sources.orders.stream")
        assert f"bronze.orders is written by conf/bronze.yaml:6 with mode: {mode}" in problem.message
        assert "leave out stream: true" in problem.message
        assert folder.job(ONE.replace(", stream: true", "").replace("append", "overwrite")).job == "x"
