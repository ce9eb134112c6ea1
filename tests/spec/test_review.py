"""What `lakehouse check` says at once: of a file all that is wrong, and of jobs what no file shows by itself."""

from __future__ import annotations

import pytest

from lakehouse.spec.layout import review_jobs
from lakehouse.spec.project import Project

APPEND = "{kind: table, table: bronze.a, stream: true}"


def job(name: str, write: str, source: str = APPEND, more: str = "") -> str:
    return f"job: {name}\nabout: a\n{more}sources:\n  o: {source}\nwrite: {{{write}}}\n"


@pytest.fixture
def project(tmp_path):
    """A project whose lake holds one table, and a way to say what is wrong with jobs of it."""
    root = tmp_path / "project"
    (root / "conf/env").mkdir(parents=True)
    (root / "lake/bronze/a/_delta_log").mkdir(parents=True)
    (root / "conf/env/local.yaml").write_text("lake: lake\nparams: {landing: landing}\n")

    def said(jobs: dict[str, str], **given: str) -> tuple[list[str], list[str]]:
        for name, text in jobs.items():
            (root / f"conf/{name}.yaml").write_text(text)
        found = review_jobs(Project(root), None, given)
        return (
            [str(one) for review in found.values() for one in review.problems],
            [str(one) for review in found.values() for one in review.warnings],
        )

    return said


def test_all_that_is_wrong_with_a_file_is_said_at_once(folder):
    problems = folder.problems(
        "job: y\nabout: a\nownr: b\nsources:\n  o: {kind: tabel, table: bronze.a, stream: true, max_fils: 3}\n"
        "write: {table: silver.x, mode: scd, key: id, sequence_by: at}\n"
    )
    assert [problem.removeprefix("conf/x.yaml:") for problem in problems] == [
        "1:6: job: 'y' in a file named x.yaml: the two must be the same",
        "3:1: ownr: unknown key; did you mean 'owner'?",
        "5:13: sources.o.kind: unknown value 'tabel'; did you mean 'table'?",
        "5:51: sources.o.max_fils: unknown key; did you mean 'max_files'?",
        "6:8: write.keys: is missing",
        "6:32: write.mode: unknown value 'scd'; did you mean 'scd2'?",
        "6:37: write.key: unknown key; did you mean 'keys'?",
    ]


def test_a_rule_is_named_by_its_name(folder):
    rules = "[{name: good, check: id > 1}, {name: 'not\x85so', check: ids > 1}, {name: third, check: id >}]"
    text = job("x", f"table: b.x, mode: append, contract: {{columns: {{id: int}}, rules: {rules}}}")
    problems = folder.problems(text.encode())
    assert any(": write.contract.rules.third.check: " in problem for problem in problems)
    problems = folder.problems(text.replace("id >}", "id > 0}").replace("not\x85so", "second"))
    assert "write.contract.rules.second.check: rule 'second' reads 'ids'" in problems[0]


def test_a_parameter_that_nothing_defines_is_said_with_the_nearest_one(project):
    one = job("x", "table: b.x, mode: append", "{kind: files, path: '${param:landin}/x'}")
    assert project({"x": one}) == (
        ["conf/x.yaml:4:26: sources.o.path: ${param:landin} is not defined; did you mean 'landing'?"],
        [],
    )
    assert project({"x": one}, landin="a") == ([], [])
    assert project({"x": one.replace("sources:", "params: {landin: b}\nsources:")}) == ([], [])


def test_a_parameter_that_a_run_or_another_environment_gives_is_no_problem(project, tmp_path):
    one = job("x", "table: b.x, mode: append", "{kind: files, path: '${param:day}/x'}")
    told = "conf/x.yaml:4:26: sources.o.path: ${param:day} is not defined; given by --param"
    assert project({"x": one}) == ([], [told])
    (tmp_path / "project/conf/env/prod.yaml").write_text("lake: lake\nparams: {day: a}\n")
    assert project({"x": one}) == ([], [])
    review = review_jobs(Project(tmp_path / "project"), "local", {})["x"]
    assert not review.problems
    assert [str(warning) for warning in review.warnings] == [f"{told}, or by another environment (prod)"]


def test_folders_are_held_against_the_environment(project):
    source = "{kind: files, path: landing/x, archive_to: jobs}"
    problems, _ = project({"x": job("x", "table: b.x, mode: append", source)})
    assert problems == [
        "conf/x.yaml:4:49: sources.o.archive_to: jobs: jobs/ of the project is for code or configuration: "
        "files are moved from data to data alone"
    ]
    source = "{kind: files, path: /etc}"
    problems, _ = project({"x": job("x", "table: b.x, mode: append", source)})
    assert problems[0].startswith("conf/x.yaml:4:26: sources.o.path: /etc lies outside of the project")
    # what is not known here is no problem of the file
    assert project({"x": job("x", "table: b.x, mode: append", "{kind: files, path: '${env:NOWHERE}'}")}) == ([], [])


@pytest.mark.parametrize(
    ("table", "problem", "warning"),
    [
        ("bronze.a", "", ""),
        ("bronze.mad", "", ""),
        ("bronze.made", "no job of the project writes bronze.made, and the lake has no such table; did you mean", ""),
        ("other.zzz", "", "no job of the project writes other.zzz, and the lake has no such table"),
    ],
)
def test_a_table_that_nobody_writes_is_a_problem_where_its_name_is_almost_another_one(project, table, problem, warning):
    source = f"{{kind: table, table: {table}, stream: true}}"
    jobs = {"x": job("x", "table: b.x, mode: append", source), "y": job("y", "table: bronze.mad, mode: append")}
    problems, warnings = project(jobs)
    assert (len(problems), len(warnings)) == (bool(problem), bool(warning))
    assert problem in "".join(problems)
    assert warning in "".join(warnings)


OVER = "{kind: table, table: bronze.a}"
SCD1 = "table: b.t, mode: scd1, keys: id, sequence_by: at"


@pytest.mark.parametrize(
    ("one", "other", "source", "told"),
    [
        ("table: b.t, mode: append", "table: b.t, mode: append", APPEND, ""),
        (SCD1, SCD1, APPEND, ""),
        (SCD1, SCD1.replace("id", "no"), APPEND, "with other keys or another sequence_by"),
        (SCD1, SCD1.replace("at", "on"), APPEND, "with other keys or another sequence_by"),
        (SCD1, "table: b.t, mode: append", APPEND, "by append, and this one by scd1"),
        ("table: b.t, mode: overwrite", "table: b.t, mode: overwrite", OVER, "by overwrite, too"),
        (
            "table: b.t, mode: overwrite, replace_where: a = 1",
            "table: b.t, mode: overwrite, replace_where: a = 2",
            OVER,
            "",
        ),
    ],
)
def test_two_jobs_write_one_table_only_where_neither_undoes_the_other(project, one, other, source, told):
    problems, _ = project({"x": job("x", one, source), "y": job("y", other, source)})
    assert len(problems) == (2 if told else 0)
    assert all("write.table: conf/" in problem for problem in problems)
    assert not problems or told in problems[0]


KEYED = "{kind: kafka, bootstrap_servers: 'localhost:9092', topics: t, value: json, key_column: id, contract: {columns: {id: bigint}}}"


@pytest.mark.parametrize(
    ("write", "source", "is_wrong"),
    [
        (SCD1, KEYED, True),
        (f"{SCD1}, apply_as_deletes: name = 'x'", KEYED, True),
        (SCD1.replace("scd1", "scd2"), KEYED, True),
        (f"{SCD1}, apply_as_deletes: _kafka.tombstone", KEYED, False),
        (f"{SCD1}, apply_as_deletes: coalesce(`_kafka`.`tombstone`, false)", KEYED, False),
        ("table: b.t, mode: append", KEYED, False),
        (SCD1, KEYED.replace("key_column: id, ", ""), False),
    ],
)
def test_deletions_of_a_topic_that_the_write_takes_for_rows_are_a_problem(project, write, source, is_wrong):
    problems, _ = project({"x": job("x", write, source)})
    assert len(problems) == is_wrong
    told = "sources.o.key_column: a message without a value would write NULL"
    assert all(problem.startswith("conf/x.yaml:4:") and told in problem for problem in problems)
