"""A process whose file system fails where it is told to: for tests of crashes, and for ``lakehouse certify``."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lakehouse.errors import JarMissingError, SetupError
from lakehouse.runtime import ivy, jars, mend

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SOURCE = Path(__file__).with_name("CrashFileSystem.java")
_SITE = """<configuration>
  <property><name>fs.file.impl</name><value>lakehouse.certify.CrashFileSystem</value></property>
  <property>
    <name>fs.AbstractFileSystem.file.impl</name><value>lakehouse.certify.CrashFileSystem$Context</value>
  </property>
</configuration>
"""
_FAILPOINTS, _TRACE = "LAKEHOUSE_FAILPOINTS", "LAKEHOUSE_TRACE"
_QUICK = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.ui.enabled": "false",
}
"""A process that lives for seconds, and sees few rows, is done before it has paid to compile anything."""

_ECLIPSE = jars.Jar(
    "org.eclipse.jdt", "ecj", "3.42.0", "29f6d3918ee02db4400c103bc25dd90a22491c3a395867d9393070cb96a7dd29"
)

Operation = Literal["create", "write", "close", "rename", "delete", "list", "open"]


@dataclass(frozen=True)
class Failpoint:
    """Where a file operation fails, and how.

    ``pattern`` is a regular expression that is found in the path, for a rename in that where it goes. ``hit`` is which
    of the matching operations, from 1; ``3+`` is the third and all that follow. ``action``: ``kill`` ends the process
    and its Java at once, ``torn`` after half of a write; ``fail``, ``full`` (no space left) and ``denied`` are errors,
    after an operation those of an acknowledgement that was lost; ``delay:MS`` waits.
    """

    operation: Operation
    moment: Literal["before", "after"]
    action: str
    pattern: str
    hit: str = "1"

    def __str__(self) -> str:
        """As the file system reads it: five words."""
        return f"{self.operation} {self.moment} {self.hit} {self.action} {self.pattern}"


def environment(folder: Path, failpoints: Iterable[Failpoint] = (), *, trace: Path | None = None) -> dict[str, str]:
    """The variables of a process that runs Spark on the failing file system.

    Args:
        folder: where what fails is written down, for this process alone.
        failpoints: what fails.
        trace: a file that is given a line for each operation that changes something: which, and the path.
    """
    told = folder / "failpoints"
    told.write_text("".join(f"{one}\n" for one in failpoints), encoding="utf-8")
    traced = {_TRACE: str(trace)} if trace else {}
    quick = " ".join(f"--conf {name}={value}" for name, value in _QUICK.items())
    known = {
        _FAILPOINTS: str(told),
        "SPARK_DIST_CLASSPATH": str(classes()),
        "PYSPARK_SUBMIT_ARGS": f"{quick} pyspark-shell",
    }
    return {**os.environ, **known, **traced}


def is_killed(code: int) -> bool:
    """Whether an exit code is that of a process which was ended as ``kill -9`` does."""
    return code in (-signal.SIGKILL, 128 + signal.SIGKILL)


def classes() -> Path:
    """The folder of the compiled file system; it is compiled where it was not yet.

    Raises:
        SetupError: there is no compiler of Java, or it fails.
    """
    source = _SOURCE.read_bytes()
    folder = jars.home() / "failing" / hashlib.sha256(source).hexdigest()[:12]
    if (folder / "core-site.xml").is_file():
        return folder
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    beside.mkdir(parents=True, exist_ok=True)
    hadoop = next((mend.spark_folder() / "jars").glob("hadoop-client-api-*.jar"))
    command = [*_compiler(), "-nowarn", "-d", str(beside), "-cp", str(hadoop), str(_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"the failing file system cannot be compiled: {done.stderr.strip()[-500:]}"
        raise SetupError(message)
    (beside / "core-site.xml").write_text(_SITE, encoding="utf-8")
    try:
        beside.rename(folder)
    except OSError:
        # another process was quicker
        shutil.rmtree(beside)
    return folder


def _compiler() -> list[str]:
    """The command that compiles Java: that of a development kit, or else Eclipse's, which a Java without one runs."""
    if kit := _kit():
        return [kit]
    folder, java = jars.home() / "failing", mend.own_java() / "bin" / "java"
    try:
        jar = jars.verify(_ECLIPSE, folder)
    except JarMissingError:
        ivy.fetch((_ECLIPSE,), folder, java=java, spark=mend.spark_folder())
        jar = jars.verify(_ECLIPSE, folder)
    return [str(java), "-jar", str(jar), "--release", "17"]


def _kit() -> str | None:
    """The compiler of a development kit, where there is one."""
    own = mend.own_java() / "bin" / "javac"
    return str(own) if own.is_file() else shutil.which("javac")


def fail_in_python(environ: Mapping[str, str] = os.environ) -> None:
    """Make this process end at its own file operations, too, where it is told to: what Python writes beside Spark.

    Of Python's operations those are seen that an audit hook is told of before they are done: ``create``, ``rename`` and
    ``delete``; a moment after one is that before the next.
    """
    told, trace = environ.get(_FAILPOINTS), environ.get(_TRACE)
    lines = Path(told).read_text(encoding="utf-8").splitlines() if told else []
    points = [
        (words[0], words[2], re.compile(words[4]))
        for words in (line.split(" ", 4) for line in lines)
        if words[1] == "before" and words[3] == "kill"
    ]
    hits: Counter[int] = Counter()

    def hook(event: str, details: tuple[Any, ...]) -> None:
        operation, path = _operation(event, details)
        if not operation or path in (told, trace):
            return
        if trace:
            with os.fdopen(os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as file:
                file.write(f"{operation} {path}\n")
        for number, (wanted, hit, pattern) in enumerate(points):
            if wanted == operation and pattern.search(path):
                hits[number] += 1
                if hits[number] == int(hit.rstrip("+")):
                    os.killpg(os.getpgid(0), signal.SIGKILL)

    sys.addaudithook(hook)


def _operation(event: str, details: tuple[Any, ...]) -> tuple[str, str]:
    """What an event of Python's does to which path; nothing where it changes none."""
    if event == "os.rename":
        return "rename", str(details[1])
    if event == "os.remove":
        return "delete", str(details[0])
    return "", ""
