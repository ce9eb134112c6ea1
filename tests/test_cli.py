"""The command line: what it prints where, and how it ends. No Spark."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from lakehouse import cli

HERE = Path(__file__).parents[1]
GOOD = """\
job: {name}
about: a
sources:
  orders: {{kind: files, path: '${{param:landing}}'}}
write: {{table: bronze.orders, mode: append}}
"""


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def lakehouse(monkeypatch, capsys):
    """The command, as a shell would call it."""

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["lakehouse", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(ended.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with two good jobs, as the working directory."""
    monkeypatch.delenv("LAKEHOUSE_ENV", raising=False)
    (tmp_path / "conf/env").mkdir(parents=True)
    (tmp_path / "conf/env/local.yaml").write_text("lake: .lake\nparams: {landing: landing}\n")
    for name in ("one", "two"):
        (tmp_path / f"conf/{name}.yaml").write_text(GOOD.format(name=name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_check_passes_all_good_jobs(lakehouse):
    assert lakehouse("check") == (0, "ok  one\nok  two\nok  env/local\n", "")


def test_check_passes_the_jobs_of_this_project(lakehouse, monkeypatch):
    monkeypatch.chdir(HERE)
    ended = lakehouse("check")
    assert ended.code == 0
    jobs = [f"ok  {path.stem}" for path in sorted((HERE / "conf").glob("*.yaml"))]
    assert ended.out.splitlines() == [*jobs, *(f"ok  env/{p.stem}" for p in sorted((HERE / "conf/env").glob("*.yaml")))]


@pytest.mark.usefixtures("project")
def test_check_takes_jobs_by_name_and_by_file(lakehouse):
    assert lakehouse("check", "two", "conf/one.yaml").out == "ok  two\nok  one\nok  env/local\n"


def test_check_shows_the_faults_of_all_files_and_ends_with_2(lakehouse, project):
    (project / "conf/one.yaml").write_text(GOOD.format(name="one").replace("about", "abuot"))
    (project / "conf/three.yaml").write_text(GOOD.format(name="three").replace("append", "apend"))
    (project / "conf/env/local.yaml").write_text("lkae: .lake\n")
    ended = lakehouse("check")
    assert ended.code == 2
    assert ended.out == "BAD one\nBAD three\nok  two\nBAD env/local\n"
    for told in (
        "conf/one.yaml:2:1: abuot: unknown key; did you mean 'about'?",
        "conf/one.yaml:1:1: about: is missing",
        "conf/three.yaml:5:37: write.mode: unknown value 'apend'; did you mean 'append'?",
        "conf/env/local.yaml:1:1: lkae: unknown key; did you mean 'lake'?",
    ):
        assert told in ended.err


def test_check_shows_the_faults_of_an_environment_when_all_jobs_are_good(lakehouse, project):
    (project / "conf/env/local.yaml").write_text("lake: .lake\nspark: {spark.jars: x.jar}\n")
    ended = lakehouse("check")
    assert ended.code == 2
    assert "conf/env/local.yaml:2:9: spark.spark.jars: 'spark.jars' cannot be set" in ended.err


@pytest.mark.usefixtures("project")
def test_check_of_an_unknown_environment_brings_the_nearest_one(lakehouse):
    ended = lakehouse("check", "--env", "locla")
    assert ended.code == 2
    assert "no environment 'locla'" in ended.err
    assert "did you mean 'local'?" in ended.err


@pytest.mark.parametrize("job", ["twoo", "conf/twoo.yaml"])
@pytest.mark.usefixtures("project")
def test_check_of_an_unknown_job_ends_with_2(lakehouse, job):
    ended = lakehouse("check", job)
    assert ended.code == 2
    assert "twoo" in ended.err


def test_check_runs_no_code_of_a_job(lakehouse, project):
    (project / "jobs").mkdir()
    (project / "jobs/one.py").write_text("raise SystemExit(9)\ndef transform(orders): ...\n")
    assert lakehouse("check").code == 0


@pytest.mark.usefixtures("project")
def test_check_is_done_within_the_blink_of_an_eye_and_without_spark():
    code = (
        "import sys\nfrom lakehouse import cli\nsys.argv = ['lakehouse', 'check']\n"
        "try:\n    cli.main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "assert 'pyspark' not in sys.modules and 'py4j' not in sys.modules\n"
    )
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    assert time.monotonic() - start < 3  # under 1 on a machine that does nothing else


@pytest.mark.parametrize("command", ["check", "run", "plan", "show", "resume", "maintain", "recover", "undo"])
def test_outside_of_a_project_every_command_says_so(lakehouse, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    ended = lakehouse(command, *(["a.b"] if command != "check" else []))
    assert ended.code == 2
    assert ended.err.startswith("CONFIG: no project around")
    assert "hint: " in ended.err


@pytest.mark.usefixtures("project")
def test_run_of_an_unknown_job_ends_stdout_with_one_line_of_json(lakehouse):
    ended = lakehouse("run", "onne", "--json")
    assert ended.code == 2
    [line] = ended.out.splitlines()
    answer = json.loads(line)
    assert (answer["job"], answer["status"]) == ("onne", "failed")
    error = answer["error"]
    assert (error["code"], error["retryable"]) == ("JOB_NOT_FOUND", False)
    assert "did you mean 'one'?" in error["message"]
    assert error["hint"] == "a job is a file conf/NAME.yaml"
    assert ended.err.startswith("JOB_NOT_FOUND: no job 'onne'")


@pytest.mark.usefixtures("project")
def test_run_without_json_keeps_stdout_empty(lakehouse):
    assert lakehouse("run", "onne").out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--param", "landing"], "CONFIG", "--param landing: expected NAME=VALUE"),
        (["--param", "=x"], "CONFIG", "--param =x: expected NAME=VALUE"),
        (["--param", "lnding=x"], "CONFIG", "--param lnding: job one has no such parameter; did you mean 'landing'?"),
        (["--param", "landing=/etc"], "CONFIG", "sources.orders.path: ${param:landing} lies outside"),
        (
            ["--param", "landing=${env:NOT_SET_ANYWHERE}"],
            "REFERENCE_UNDEFINED",
            "${env:NOT_SET_ANYWHERE} is not defined",
        ),
        (["--param", "landing=${x}"], "REFERENCE_UNDEFINED", "'${x}' is not a reference"),
        (["--env", "prod"], "CONFIG", "no environment 'prod'"),
        (["--lake", ""], "CONFIG", "--lake: is empty"),
    ],
)
@pytest.mark.usefixtures("project")
def test_run_of_what_cannot_run_as_written_ends_with_2_before_spark(lakehouse, arguments, code, told):
    ended = lakehouse("run", "one", "--json", *arguments)
    answer = json.loads(ended.out)
    assert (ended.code, answer["error"]["code"]) == (2, code)
    assert told in answer["error"]["message"]


@pytest.mark.parametrize("arguments", [["rn"], ["run"], ["run", "one", "--jsn"], ["check", "--parm", "a=b"]])
@pytest.mark.usefixtures("project")
def test_a_wrong_command_line_ends_with_2(lakehouse, arguments):
    ended = lakehouse(*arguments)
    assert ended.code == 2
    assert ended.err.startswith("Usage: ")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("run", ["--env", "--lake", "--param", "--full-refresh", "--json", "LAKEHOUSE_ENV"]),
        ("plan", ["--env", "--lake", "--param"]),
        ("check", ["--env"]),
        ("doctor", ["--fix", "--lake"]),
        ("show", ["--env", "--lake", "TABLE"]),
        ("resume", ["--env", "--lake", "--param", "--let-through", "--json", "JOB"]),
        ("recover", ["--env", "--lake", "--param", "--dry-run", "--json"]),
        ("undo", ["--env", "--lake", "--dry-run", "--later", "--json", "RUN"]),
        ("maintain", ["--env", "--lake", "--dry-run", "--retain", "--allow-short", "--json", "[JOB|TABLE]"]),
    ],
)
def test_the_help_of_every_command_names_its_options(lakehouse, command, options):
    ended = lakehouse(command, "--help")
    assert ended.code == 0
    assert all(option in ended.out for option in options)


@pytest.mark.parametrize("command", [[], ["run"]])
def test_the_help_tells_the_exit_codes_and_what_a_job_is(lakehouse, command):
    out = lakehouse(*command, "--help").out
    assert all(f"\n    {code}  " in out or f"\n  {code}  " in out for code in range(5)), out
    assert "JOB" in out


def test_a_stdout_that_is_full_or_closed_is_a_clean_error(project):
    for where, said in ((">/dev/full", "OUTPUT: stdout cannot be written: No space left on device"), ("| true", "")):
        command = f"cd {project} && {sys.executable} -m lakehouse check {where}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.strip()) == (1 if said else 0, said)


def test_the_version_is_told(lakehouse):
    ended = lakehouse("--version")
    assert ended.code == 0
    assert "version" in ended.out
