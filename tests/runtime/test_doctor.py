from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.errors import JavaMissingError, JavaVersionError
from lakehouse.runtime import defaults, doctor, java

NOTHING = {"PATH": "", java.SEARCH_VARIABLE: ""}


def pretended_java(home: Path, version: str) -> Path:
    """A folder that could be a JAVA_HOME, whose Java only says its version."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-01' >&2\n", encoding="utf-8")
    program.chmod(0o755)
    (home / "release").write_text(f'JAVA_VERSION="{version}"\n', encoding="utf-8")
    return home


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('Picked up JAVA_TOOL_OPTIONS: -Da=b\nopenjdk version "21.0.8" 2025-07-15 LTS', 21),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_392"', 8),
        ("bash: java: not found", None),
    ],
)
def test_the_version_is_read_from_what_java_prints(banner, version):
    assert java.major(banner) == version


def test_no_java_at_all_is_said_with_how_to_get_one(tmp_path):
    with pytest.raises(JavaMissingError) as missing:
        java.find(tmp_path / "own", NOTHING)
    assert missing.value.code == "JAVA_MISSING"
    assert "apt-get install" in missing.value.hint


def test_a_java_that_is_too_old_is_said_with_its_version_and_place(tmp_path):
    old = pretended_java(tmp_path / "old", "11.0.2")
    with pytest.raises(JavaVersionError, match=f"Java 11 .*{old}") as refused:
        java.find(tmp_path / "own", {**NOTHING, "JAVA_HOME": str(old)})
    assert refused.value.code == "JAVA_VERSION"


def test_java_25_is_passed_over_for_a_17(tmp_path):
    new = pretended_java(tmp_path / "new", "25.0.3")
    good = pretended_java(tmp_path / "good", "17.0.15")
    path = os.pathsep.join((str(new / "bin"), str(good / "bin")))
    assert java.find(tmp_path / "own", {**NOTHING, "PATH": path}) == java.Java(good, 17, "PATH")


def test_an_installed_java_off_the_path_is_found(tmp_path):
    pretended_java(tmp_path / "jvm" / "a-25", "25")
    good = pretended_java(tmp_path / "jvm" / "b-21", "21.0.8")
    found = java.find(tmp_path / "own", {"PATH": "", java.SEARCH_VARIABLE: str(tmp_path / "jvm")})
    assert found == java.Java(good, 21, "installed")


def test_java_home_comes_before_the_environments_own_and_that_before_the_path(tmp_path):
    own, path, home = (pretended_java(tmp_path / name, "17.0.1") for name in ("own", "path", "home"))
    environ = {**NOTHING, "PATH": str(path / "bin")}
    assert java.find(own, environ).home == own
    assert java.find(own, {**environ, "JAVA_HOME": str(home)}).home == home


def test_the_java_that_is_kept_is_a_link_and_one_that_works_stays(tmp_path):
    own = tmp_path / "share" / "java"
    first, second = (java.Java(pretended_java(tmp_path / name, "17.0.1"), 17, "PATH") for name in ("first", "second"))
    java.keep(first, own)
    java.keep(second, own)
    assert own.resolve() == first.home
    first.program.unlink()
    java.keep(second, own)
    assert own.resolve() == second.home


@pytest.mark.parametrize("asked", [["--add-modules=jdk.incubator.vector"], ["--add-modules", "jdk.incubator.vector"]])
def test_a_java_from_a_wheel_is_not_asked_for_the_module_it_lacks(tmp_path, asked):
    program = pretended_java(tmp_path / "a wheel", "21.0.8") / "bin" / "java"
    program.write_text(program.read_text() + 'for a; do echo "<$a>"; done\n', encoding="utf-8")
    wrapped = java.wrap(program, tmp_path / "own")
    assert (wrapped.version, wrapped.home) == (21, tmp_path / "own")
    arguments = ["-Xmx1g", *asked, "--add-modules=java.sql", "a b", ""]
    done = subprocess.run([wrapped.program, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["<-Xmx1g>", "<--add-modules=java.sql>", "<a b>", "<>"]


def test_the_doctor_says_that_java_is_missing_and_does_not_raise(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "own_java", lambda: tmp_path / "own")
    found = next(finding for finding in doctor.examine(environ=NOTHING) if finding.name == "Java")
    assert (found.ok, found.code) == (False, "JAVA_MISSING")
    assert "apt-get install" in found.mend


def generated(tmp_path: Path) -> defaults.Files:
    return defaults.files(
        spark=tmp_path / "pyspark",
        jars=[Path("/jars/delta.jar"), Path("/jars/kafka.jar")],
        java=tmp_path / "own java",
        python=Path("/venv/bin/python"),
        memory=2,
    )


def test_the_defaults_put_the_jars_on_the_class_path_and_delta_into_the_session(tmp_path):
    lines = generated(tmp_path).texts["spark-defaults.conf"].splitlines()
    assert lines[0].startswith(defaults.MARK)
    settings = dict(line.split(maxsplit=1) for line in lines[1:])
    assert settings["spark.driver.extraClassPath"] == "/jars/delta.jar:/jars/kafka.jar"
    assert settings["spark.driver.memory"] == "2g"
    assert settings["spark.sql.extensions"] == "io.delta.sql.DeltaSparkSessionExtension"
    assert settings["spark.sql.session.timeZone"] == "UTC"
    assert settings["spark.sql.ansi.enabled"] == "true"


def sourced(files: defaults.Files, **environ: str) -> list[str]:
    """What Spark's launcher sees after it has read spark-env.sh."""
    script = 'set -a; . "$1"; printf "%s\\n" "$JAVA_HOME" "$PYSPARK_PYTHON" "$PYSPARK_DRIVER_PYTHON" "$SPARK_LOCAL_IP"'
    command = ["bash", "-euc", script, "bash", files.folder / "spark-env.sh"]
    done = subprocess.run(command, env={"PATH": os.defpath, **environ}, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_spark_runs_the_environments_java_and_python_unless_told_otherwise(tmp_path):
    files = generated(tmp_path)
    files.write()
    assert sourced(files) == [str(tmp_path / "own java"), "/venv/bin/python", "/venv/bin/python", "127.0.0.1"]
    mine = pretended_java(tmp_path / "mine", "21.0.8")
    assert sourced(files, JAVA_HOME=str(mine), PYSPARK_PYTHON="p", PYSPARK_DRIVER_PYTHON="d", SPARK_LOCAL_IP="::1") == [
        str(mine),
        "p",
        "d",
        "::1",
    ]


@pytest.mark.parametrize(
    "locale", [{}, {"LC_ALL": "C"}, {"LANG": "xx_XX.UTF-8"}, {"LC_ALL": "C.UTF-8"}, {"LANG": "C.UTF-8"}]
)
def test_java_is_started_in_a_locale_in_which_it_sees_files_of_any_name(tmp_path, locale):
    files = generated(tmp_path)
    files.write()
    command = ["bash", "-euc", 'set -a; . "$1"; locale charmap', "bash", files.folder / "spark-env.sh"]
    done = subprocess.run(command, env={"PATH": os.defpath, **locale}, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("UTF-8\n", "")


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_392", "25", "170.1"])
def test_a_java_home_that_spark_cannot_run_on_is_passed_over_at_every_start(tmp_path, version):
    files = generated(tmp_path)
    files.write()
    refused = pretended_java(tmp_path / "refused", version)
    assert sourced(files, JAVA_HOME=str(refused))[0] == str(tmp_path / "own java")
    assert sourced(files, JAVA_HOME="/gone")[0] == str(tmp_path / "own java")


def test_logs_go_to_stderr_and_spark_speaks_only_of_errors(tmp_path):
    lines = generated(tmp_path).texts["log4j2.properties"].splitlines()
    assert "appender.stderr.target = SYSTEM_ERR" in lines
    assert not any("SYSTEM_OUT" in line for line in lines)
    assert "logger.spark.level = error" in lines


def test_what_is_missing_or_out_of_date_is_written_anew_and_only_that(tmp_path):
    files = generated(tmp_path)
    assert sorted(files.stale()) == ["log4j2.properties", "spark-defaults.conf", "spark-env.sh"]
    files.write()
    assert files.stale() == []
    assert len(list(files.folder.iterdir())) == 3
    changed = replace(files, texts={**files.texts, "spark-defaults.conf": f"{defaults.FIRST_LINE}\nspark.a b\n"})
    assert changed.stale() == ["spark-defaults.conf"]


def test_spark_defaults_that_somebody_wrote_are_never_touched(tmp_path):
    files = generated(tmp_path)
    files.folder.mkdir(parents=True)
    mine = files.folder / "spark-defaults.conf"
    mine.write_text("spark.master=local[4]\n", encoding="utf-8")
    files.write()
    assert mine.read_text(encoding="utf-8") == "spark.master=local[4]\n"
    assert files.foreign() == ["spark-defaults.conf"]
    assert "spark.sql.extensions io.delta.sql.DeltaSparkSessionExtension" in files.lacking()


def test_spark_defaults_that_somebody_wrote_with_all_that_is_needed_lack_nothing(tmp_path):
    files = generated(tmp_path)
    files.write()
    mine = files.folder / "spark-defaults.conf"
    mine.write_text("spark.master local\n" + mine.read_text().replace(defaults.FIRST_LINE, ""), encoding="utf-8")
    assert files.foreign() == ["spark-defaults.conf"]
    assert files.lacking() == []


@pytest.mark.parametrize(("gib", "heap"), [(1, 1), (4, 1), (16, 4), (24, 6), (512, 8)])
def test_the_driver_gets_a_quarter_of_the_memory_within_bounds(gib, heap):
    assert defaults.driver_memory(gib * 2**30) == heap


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("SPARK_HOME", {"SPARK_HOME": "/opt/other-spark"}),
        ("Spark defaults", {"SPARK_CONF_DIR": "/etc/spark"}),
        ("spark-submit", {"PATH": "/nowhere"}),
        ("PYSPARK_PYTHON", {"PYSPARK_PYTHON": "/nowhere/python3"}),
    ],
)
def test_what_points_elsewhere_is_found_with_what_to_do(name, variables):
    found = next(finding for finding in doctor.examine(environ={**os.environ, **variables}) if finding.name == name)
    assert not found.ok
    assert found.mend


def test_a_lake_that_cannot_be_made_is_found(tmp_path):
    (tmp_path / "file").touch()
    lakes = {lake: doctor.examine(lake=tmp_path / lake)[-1] for lake in ("new/lake", "file/lake")}
    assert (lakes["new/lake"].ok, lakes["new/lake"].code) == (True, "")
    assert (lakes["file/lake"].ok, lakes["file/lake"].code) == (False, "LAKE_NOT_WRITABLE")


def test_the_doctor_does_not_import_pyspark():
    code = "import sys, lakehouse.runtime.doctor as d; d.examine(); sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_pyspark_that_the_tests_do_not_run_with_is_warned_of(monkeypatch):
    real = doctor.metadata.version
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "4.2.0" if name == "pyspark" else real(name))
    found = next(one for one in doctor.examine(environ=NOTHING) if one.name == "pyspark")
    assert (found.ok, "4.2.0 with delta-spark 4.4.0 is not tested" in found.warning) == (True, True)
    monkeypatch.undo()
    assert next(one for one in doctor.examine(environ=NOTHING) if one.name == "pyspark").warning == ""
