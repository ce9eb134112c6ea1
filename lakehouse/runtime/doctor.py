"""What a machine needs to run jobs: `examine` looks and says; `fix` mends what can be mended.

Nothing here imports pyspark: a doctor must be able to say that it is missing, and to be quick.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from lakehouse.errors import LakehouseError, LakeNotWritableError, SetupError
from lakehouse.runtime import jars, java
from lakehouse.runtime.mend import fix, generated, own_java, spark_folder

__all__ = ["Finding", "examine", "fix", "main"]

MEND = "run `lakehouse doctor --fix`"
PYTHONS = ((3, 11), (3, 13))
DELTA = "4.4.0"
TESTED = "4.1.1"
"""The pyspark that the tests run with; the jars of the other lanes are locked, and nothing more is known of them."""
FREE_BYTES = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what was looked at, in a word or two.
        ok: whether jobs can run with it as it is.
        detail: what was found.
        mend: what to do about it, where it is not ok.
        code: the code of the error that a run would raise, such as ``JAVA_MISSING``; empty where there is none.
        warning: what may go wrong although nothing is known to.
    """

    name: str
    ok: bool
    detail: str
    mend: str = ""
    code: str = ""
    warning: str = ""


def examine(*, lake: Path | None = None, environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """Look at everything that a run needs. Changes nothing, and raises nothing of this library's.

    Args:
        lake: the folder of the lake, where it is a local one.
        environ: the variables that a run would see.
    """
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("Python", _python),
        ("pyspark", _pyspark),
        ("Java", lambda: _java(environ)),
        ("jars", _jars),
        ("Spark defaults", lambda: _defaults(environ)),
        ("SPARK_HOME", lambda: _spark_home(environ)),
        ("spark-submit", lambda: _spark_submit(environ)),
        ("PYSPARK_PYTHON", lambda: _pyspark_python(environ)),
        ("disk", lambda: _disk(lake or Path.cwd())),
        *((("lake", lambda: _lake(lake)),) if lake else ()),
    )
    return [_asked(name, check) for name, check in checks]


def main(arguments: list[str] | None = None) -> int:
    """``python -m lakehouse.runtime.doctor [--fix]``: for the set-up, before there is a command line."""
    try:
        if "--fix" in (sys.argv[1:] if arguments is None else arguments):
            fix(say=lambda line: _print(f"  {line}"))
    except LakehouseError as error:
        _print(f"{error.code}: {error}")
        return error.exit_code
    findings = examine()
    for finding in findings:
        _print(f"{'ok ' if finding.ok else 'BAD'} {finding.name}: {finding.detail}")
        if not finding.ok:
            _print(f"    {finding.mend}")
        if finding.warning:
            _print(f"    warning: {finding.warning}")
    return 0 if all(finding.ok for finding in findings) else 1


def _asked(name: str, check: Callable[[], Finding]) -> Finding:
    """What a check found; an error of this library is a finding too, and what is well needs no mending."""
    try:
        found = check()
        return replace(found, mend="", code="") if found.ok else found
    except LakehouseError as error:
        return Finding(name, ok=False, detail=error.message, mend=error.hint or MEND, code=error.code)


def _python() -> Finding:
    version = sys.version_info[:2]
    ok = PYTHONS[0] <= version <= PYTHONS[1]
    return Finding("Python", ok, f"{sys.version.split()[0]} in {sys.prefix}", "make the environment with 3.11 to 3.13")


def _pyspark() -> Finding:
    lane, _ = jars.locked()
    try:
        delta = metadata.version("delta-spark")
    except metadata.PackageNotFoundError:
        delta = "missing"
    version = metadata.version("pyspark")
    detail = f"{version} (lane {lane}) with delta-spark {delta}"
    found = Finding("pyspark", delta == DELTA, detail, f"pip install delta-spark=={DELTA}", SetupError.code)
    return found if version == TESTED else replace(found, warning=_untested(version))


def _untested(version: str) -> str:
    """What is said of a pyspark that the tests do not run with."""
    return f"pyspark {version} with delta-spark {DELTA} is not tested: pip install pyspark=={TESTED}"


def _java(environ: Mapping[str, str]) -> Finding:
    found = java.find(own_java(), environ)
    passed_over = environ.get("JAVA_HOME") if found.found != "JAVA_HOME" else None
    note = f"; JAVA_HOME={passed_over} is passed over, as Spark cannot run on it" if passed_over else ""
    return Finding("Java", ok=True, detail=f"{found.version} ({found.found}: {found.home}){note}")


def _jars() -> Finding:
    lane, needed = jars.locked()
    for error in jars.unfit(needed, jars.folder(lane)).values():
        raise error
    return Finding("jars", ok=True, detail=f"{len(needed)} of lane {lane} in {jars.folder(lane)}")


def _defaults(environ: Mapping[str, str]) -> Finding:
    name, files = "Spark defaults", generated()
    if elsewhere := _other_folder(environ.get("SPARK_CONF_DIR"), files.folder):
        return Finding(name, ok=False, detail=f"SPARK_CONF_DIR is {elsewhere}", mend="unset SPARK_CONF_DIR")
    if stale := files.stale():
        detail = f"{', '.join(stale)} missing or out of date in {files.folder}"
        return Finding(name, ok=False, detail=detail, mend=MEND)
    if not (own_java() / "bin" / "java").exists():
        return Finding(name, ok=False, detail=f"the Java that they name, {own_java()}, is gone", mend=MEND)
    foreign = files.foreign()
    if "spark-defaults.conf" in foreign and (lacking := files.lacking()):
        mend = "\n    ".join(("add to it, or delete it and run `lakehouse doctor --fix`:", *lacking))
        return Finding(name, ok=False, detail=f"{files.folder / 'spark-defaults.conf'} is your own", mend=mend)
    note = f" ({', '.join(foreign)} is your own)" if foreign else ""
    return Finding(name, ok=True, detail=f"{files.folder}{note}")


def _spark_home(environ: Mapping[str, str]) -> Finding:
    elsewhere = _other_folder(environ.get("SPARK_HOME"), spark_folder())
    return Finding("SPARK_HOME", not elsewhere, elsewhere or "this environment's pyspark", "unset SPARK_HOME")


def _spark_submit(environ: Mapping[str, str]) -> Finding:
    found, programs = shutil.which("spark-submit", path=environ.get("PATH", "")), Path(sys.prefix) / "bin"
    ok = found is not None and Path(found).absolute().parent == programs
    mend = f"put {programs} first on the PATH: `source {programs / 'activate'}`"
    return Finding("spark-submit", ok, found or "not on the PATH", mend)


def _pyspark_python(environ: Mapping[str, str]) -> Finding:
    said = environ.get("PYSPARK_PYTHON")
    found = shutil.which(said, path=environ.get("PATH", "")) if said else sys.executable
    # Not resolved: the python of an environment is a link to the one it was made from, which has none of its packages.
    ok = found is not None and Path(found).absolute().parent == Path(sys.executable).parent
    return Finding("PYSPARK_PYTHON", ok, said or f"unset: {sys.executable}", "unset PYSPARK_PYTHON")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free
    return Finding("disk", free >= FREE_BYTES, f"{free / 2**30:.0f} GiB free at {folder}", "make room: 1 GiB at least")


def _lake(lake: Path) -> Finding:
    parent = _existing(lake)
    ok = parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)
    mend = f"{parent} cannot be written: choose another `lake`"
    return Finding("lake", ok, str(lake), mend, LakeNotWritableError.code)


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def _other_folder(said: str | None, expected: Path) -> str:
    return said if said and Path(said).resolve() != expected.resolve() else ""


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    raise SystemExit(main())
