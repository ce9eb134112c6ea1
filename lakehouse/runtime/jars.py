"""The jars beside Spark's own: which of them a version of pyspark needs, and whether those on disk are the same bytes.

``jars.lock`` names them by lane, a lane being the minor version of pyspark. `lakehouse.runtime.ivy` fetches them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from lakehouse.errors import JarHashError, JarMissingError, SetupError

MEND = "run `lakehouse doctor --fix`"


@dataclass(frozen=True, order=True)
class Jar:
    """One line of a lock: Maven's coordinates, and the SHA-256 of the bytes that ran."""

    group: str
    artifact: str
    version: str
    sha256: str
    ext: str = "jar"
    classifier: str = ""

    @property
    def file(self) -> str:
        """The name of the jar in its folder."""
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + f".{self.ext}"


def parse(text: str) -> dict[str, tuple[Jar, ...]]:
    """The jars of each lane, in the order of the lock."""
    lanes: dict[str, tuple[Jar, ...]] = {}
    lane = ""
    for line in text.splitlines():
        if line.startswith("["):
            lane = line.strip("[] ")
            lanes[lane] = ()
        elif line and not line.startswith("#"):
            coordinates, sha256 = line.split()
            group, artifact, version, *kind = coordinates.split(":")
            lanes[lane] += (Jar(group, artifact, version, sha256, *kind),)
    return lanes


def lanes() -> dict[str, tuple[Jar, ...]]:
    """The lock that is shipped with this package."""
    return parse(Path(__file__).with_name("jars.lock").read_text(encoding="utf-8"))


def lane_of(version: str, *, known: Iterable[str]) -> str:
    """The lane that a version of pyspark runs in.

    Raises:
        SetupError: no jars are locked for that version.
    """
    lane = ".".join(version.split(".")[:2])
    if lane in known:
        return lane
    supported = ", ".join(sorted(known))
    raise SetupError(f"pyspark {version} is not supported: the lanes are {supported}", hint="install pyspark 4.1.1")


def locked() -> tuple[str, tuple[Jar, ...]]:
    """The lane of the pyspark that is installed, and its jars. Does not import pyspark, which is slow.

    Raises:
        SetupError: pyspark is missing, or no jars are locked for it.
    """
    try:
        version = metadata.version("pyspark")
    except metadata.PackageNotFoundError as error:
        raise SetupError("pyspark is not installed", hint="install pyspark 4.1.1") from error
    known: Mapping[str, tuple[Jar, ...]] = lanes()
    lane = lane_of(version, known=known)
    return lane, known[lane]


def home(prefix: str | Path = sys.prefix) -> Path:
    """Where this Python environment keeps what is not Python: the jars, and the Java that Spark runs on."""
    return Path(prefix) / "share" / "lakehouse"


def folder(lane: str, *, within: Path | None = None) -> Path:
    """Where the jars of a lane are kept."""
    return (within or home()) / "jars" / lane


def verify(jar: Jar, folder: Path) -> Path:
    """The path of a jar whose bytes are those of the lock.

    Hashed anew at every call: 19 MB take less time than one start of Java, and a size or a date proves nothing.

    Raises:
        JarMissingError: there is no such file.
        JarHashError: its bytes are others.
    """
    path = folder / jar.file
    if not path.is_file():
        raise JarMissingError(f"{jar.file} is not in {folder}", hint=f"{MEND}, or put the jar there by hand")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != jar.sha256:
        raise JarHashError(f"{path} is not the jar that was locked: expected {jar.sha256}, found {found}", hint=MEND)
    return path


def unfit(jars: Iterable[Jar], folder: Path) -> dict[Jar, SetupError]:
    """The jars that are missing or are not the bytes of the lock, each with what is wrong with it."""
    wrong: dict[Jar, SetupError] = {}
    for jar in jars:
        try:
            verify(jar, folder)
        except (JarMissingError, JarHashError) as error:
            wrong[jar] = error
    return wrong
