from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lakehouse.errors import JarHashError, JarMissingError, SetupError
from lakehouse.runtime import ivy, jars
from lakehouse.runtime.jars import Jar

BYTES = b"the bytes of a jar"
JAR = Jar("io.example", "thing_2.13", "1.0", hashlib.sha256(BYTES).hexdigest())
# One certificate of no one's: the store keeps the bytes and does not read them.
PEM = "-----BEGIN CERTIFICATE-----\nMAo=\n-----END CERTIFICATE-----\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / JAR.file).write_bytes(BYTES)
    return tmp_path


def test_a_jar_with_the_bytes_of_the_lock_is_taken(folder):
    assert jars.verify(JAR, folder) == folder / "thing_2.13-1.0.jar"
    assert jars.unfit([JAR], folder) == {}


def test_a_jar_whose_hash_differs_is_refused_by_name(folder):
    (folder / JAR.file).write_bytes(BYTES + b"!")
    with pytest.raises(JarHashError) as refused:
        jars.verify(JAR, folder)
    assert refused.value.code == "JAR_HASH"
    for part in (JAR.file, JAR.sha256, hashlib.sha256(BYTES + b"!").hexdigest()):
        assert part in str(refused.value)


def test_a_jar_of_the_same_size_and_another_content_is_refused(folder):
    (folder / JAR.file).write_bytes(BYTES[::-1])
    assert [error.code for error in jars.unfit([JAR], folder).values()] == ["JAR_HASH"]


def test_a_jar_that_is_not_there_is_named_with_what_to_do(tmp_path):
    with pytest.raises(JarMissingError, match=r"thing_2\.13-1\.0\.jar") as missing:
        jars.verify(JAR, tmp_path)
    assert "doctor --fix" in missing.value.hint


def test_the_lock_holds_three_lanes_of_whole_hashes():
    lanes = jars.lanes()
    assert set(lanes) == {"4.0", "4.1", "4.2"}
    for lane, needed in lanes.items():
        assert all(len(jar.sha256) == 64 and set(jar.sha256) <= set("0123456789abcdef") for jar in needed)
        assert f"delta-spark_{lane}_2.13" in {jar.artifact for jar in needed}
        assert len({jar.file for jar in needed}) == len(needed)


def test_only_lane_4_2_lacks_avro():
    lacking = {
        lane
        for lane, needed in jars.lanes().items()
        if not any(jar.artifact.startswith("spark-avro") for jar in needed)
    }
    assert lacking == {"4.2"}


@pytest.mark.parametrize(("version", "lane"), [("4.0.1", "4.0"), ("4.1.1", "4.1"), ("4.2.0", "4.2")])
def test_a_lane_is_the_minor_version_of_pyspark(version, lane):
    assert jars.lane_of(version, known=jars.lanes()) == lane


@pytest.mark.parametrize("version", ["3.5.7", "4.3.0"])
def test_a_pyspark_without_a_lane_is_refused_with_those_that_have_one(version):
    with pytest.raises(SetupError, match=r"4\.0, 4\.1, 4\.2"):
        jars.lane_of(version, known=jars.lanes())


def test_the_installed_pyspark_has_a_lane_and_jars():
    lane, needed = jars.locked()
    assert needed == jars.lanes()[lane]


def test_ivy_is_asked_for_the_jars_and_for_nothing_that_they_depend_on():
    other = replace(JAR, artifact='a"&b')
    dependencies = list(ElementTree.fromstring(ivy.module([JAR, other])).iter("dependency"))  # noqa: S314 our own text
    assert [(d.get("name"), d.get("rev"), d.get("transitive")) for d in dependencies] == [
        ("thing_2.13", "1.0", "false"),
        ('a"&b', "1.0", "false"),
    ]


def test_nothing_to_fetch_runs_nothing(tmp_path):
    ivy.fetch([], tmp_path / "jars", java=tmp_path / "no-java", spark=tmp_path / "no-spark")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_fails_leaves_the_folder_as_it_was(folder, tmp_path):
    spark = pretended_spark(tmp_path)
    with pytest.raises(JarMissingError, match=r"new-1\.0\.jar could not be fetched.*not found: io\.example"):
        ivy.fetch(
            [replace(JAR, artifact="new")], folder, java=program(spark, "echo 'not found: io.example'"), spark=spark
        )
    assert [path.name for path in folder.glob("*.jar")] == [JAR.file]


def test_a_download_of_other_bytes_is_refused_and_never_seen_in_the_folder(tmp_path):
    spark, into = pretended_spark(tmp_path), tmp_path / "lane"
    java = program(
        spark, 'for a; do case $a in -Duser.home=*) printf other > "${a#*=}/thing_2.13-1.0.jar";; esac; done'
    )
    with pytest.raises(JarHashError, match=JAR.file):
        ivy.fetch([JAR], into, java=java, spark=spark)
    assert list(into.iterdir()) == []


def test_a_download_of_the_right_bytes_arrives_and_leaves_no_scraps(tmp_path):
    spark, into = pretended_spark(tmp_path), tmp_path / "home" / "lane"
    write = f'printf %s "{BYTES.decode()}" > "${{a#*=}}/{JAR.file}"'
    ivy.fetch(
        [JAR], into, java=program(spark, f"for a; do case $a in -Duser.home=*) {write};; esac; done"), spark=spark
    )
    assert [path.relative_to(into.parent).as_posix() for path in into.parent.rglob("*")] == ["lane", f"lane/{JAR.file}"]


def test_the_machines_certificates_become_a_java_key_store():
    store = ivy.truststore(f"# of the machine\n{PEM}\n{PEM}")
    assert struct.unpack(">IIi", store[:12]) == (0xFEEDFEED, 2, 2)
    assert store.count(b"X.509") == 2
    assert store.endswith(struct.pack(">i", 2) + b"\x30\x0a")


def pretended_spark(tmp_path: Path) -> Path:
    """A folder that looks like pyspark to what looks for its Ivy."""
    spark = tmp_path / "spark"
    (spark / "jars").mkdir(parents=True)
    (spark / "jars" / "ivy-2.5.3.jar").touch()
    return spark


def program(folder: Path, script: str) -> Path:
    """An executable that does this instead of Java."""
    path = folder / "java"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path
